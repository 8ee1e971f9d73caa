//! The webhook fed by an API server, with the rights of the shipped service account and nothing more.
//!
//! | module | proves |
//! | --- | --- |
//! | [`follow`] | what is applied is what the next pod gets, and nothing is asked for a request |
//! | [`elsewhere`] | that sources are read where the owner says, and nowhere else |
//! | [`hanging`] | what does not answer concerns those who name it, and nobody else |
//! | [`outage`] | nothing is lost while the API server is away, and what is missing at the start is named |
//! | [`status`] | who is told what, and that nobody else notices |

mod elsewhere;
mod follow;
mod hanging;
mod outage;
mod site;
mod status;
