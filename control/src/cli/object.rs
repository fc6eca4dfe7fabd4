//! What the verbs do with an object of any kind.
//!
//! A kind says how one of it is described and shown, and [`super::asks`] how its service is asked;
//! the rest is the same for all.

use std::path::Path;

use clap::Args;
use serde_json::Value;

use super::{
    asks::{Asked, Listed},
    failure::Failure,
    print,
    session::session,
    verbs::{Verb, VerbOfOne},
};

/// A kind of object, one at a time.
pub(super) trait Object: Sized {
    /// What `add` needs.
    type Add: Args;
    /// What names one.
    type Key: Args;

    /// The object that was described, of a source.
    fn new(described: Self::Add, source: String) -> Self;

    /// It, on a line without an end.
    fn line(&self) -> String;

    /// It, and what became of it, on whole lines.
    fn details(&self) -> String {
        self.line() + "\n"
    }

    /// Both, as JSON.
    fn value(&self) -> Value;
}

/// The verbs of a kind.
pub(super) type VerbOf<T> = Verb<<T as Object>::Add, <T as Object>::Key, <T as Listed>::Filter>;

/// Does what the verb says.
pub(super) fn run<T: Listed>(verb: VerbOf<T>, socket: &Path) -> Result<(), Failure> {
    match verb {
        Verb::List {
            filter,
            all_sources,
            json,
        } => {
            let list = async |channel| T::list(channel, filter, all_sources).await;
            let all = session(socket, list)?;
            print::list(&all, json, T::line, T::value)
        }
        Verb::One(verb) => run_one::<T>(verb, socket),
    }
}

/// Does what the verb says to one object.
pub(super) fn run_one<T: Asked>(
    verb: VerbOfOne<T::Add, T::Key>,
    socket: &Path,
) -> Result<(), Failure> {
    match verb {
        VerbOfOne::Show { key, json } => {
            let found = session(socket, async |channel| T::find(channel, key).await)?;
            if json {
                print::print_json(&found.value())
            } else {
                print::print(&found.details())
            }
        }
        VerbOfOne::Add { object, options } => {
            let object = T::new(object, options.source);
            let apply = async |channel| object.apply(channel, options.replace).await;
            session(socket, apply)
        }
        VerbOfOne::Delete { key, options } => session(socket, async |channel| {
            T::delete(channel, key, options).await
        }),
    }
}
