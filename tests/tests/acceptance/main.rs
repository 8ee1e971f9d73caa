//! The product on a real API server: profiles in a directory, the built webhook, pods as real Spark sent them.
//!
//! | module | proves |
//! | --- | --- |
//! | [`golden`] | what each recorded pod becomes, as posted and as the API server presents it to the webhook |
//! | [`pods`] | that the API server stores what `inject` prints |
//! | [`denials`], [`untouched`] | who is refused, with which sentence, and who is left alone |
//! | [`forged`] | that a made-up review gains nothing, whichever entry it is posted to |
//! | [`apart`] | that a pod which meets replicas of different states in one creation is not refused |
//! | [`identity`] | that an API server which proves who it is, and nobody else, is given what is secret |
//! | [`isolation`] | that every pod of an isolated namespace stays on its nodes, whoever makes it |
//! | [`check`] | that each broken link of the chain is found, with its remedy |
//! | [`others`], [`scheduling`] | life beside in-tree plugins and other webhooks |
//! | [`answers`] | what the API server makes of each kind of answer, of none, and of ours to broken reviews |
//! | [`reload`], [`down`] | profiles that change while serving, a webhook that does not answer |
//! | [`certificates`] | that no caller ever meets a certificate that it does not trust |
//! | [`cluster`] | the webhook fed by the API server itself, as the shipped service account |
//! | [`quiet`] | that nothing of what travels is told to anybody else |
//! | [`definition`] | what the CustomResourceDefinition accepts, keeps and refuses |
//! | [`lease`] | which replica may write |
//! | [`files`], [`hostile`] | that `init-sync` restores every file from the stored pod, or none |
//!
//! All share one control plane; each has namespaces and a webhook of its own ([`world`]).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod alike;
mod answers;
mod apart;
mod certificates;
mod check;
mod cluster;
mod contained;
mod definition;
mod denials;
mod down;
mod files;
mod forged;
mod golden;
mod golden_files;
mod hostile;
mod identity;
mod isolation;
mod lease;
mod others;
mod pods;
mod quiet;
mod reload;
mod scheduling;
mod untouched;
mod world;
