//! The webhook fed by an API server, with the rights of the shipped service account and nothing more.
//!
//! | module | proves |
//! | --- | --- |
//! | [`follow`] | what is applied is what the next pod gets, and nothing is asked for a request |
//! | [`status`] | who is told what, and that nobody else notices |

mod follow;
mod site;
mod status;
