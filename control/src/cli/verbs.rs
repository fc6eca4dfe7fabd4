//! The verbs that every object has.

use clap::{Args, Subcommand};

/// What to do with objects of one kind.
#[derive(Debug, Subcommand)]
pub(super) enum Verb<Add: Args, Key: Args, Filter: Args> {
    /// List them.
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        filter: Filter,
        /// Also those that a source of higher precedence overrides.
        #[arg(long)]
        all_sources: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    #[command(flatten)]
    One(VerbOfOne<Add, Key>),
}

/// What to do with one object.
#[derive(Debug, Subcommand)]
pub(super) enum VerbOfOne<Add: Args, Key: Args> {
    /// Show one, and what became of it.
    Show {
        #[command(flatten)]
        key: Key,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Create one.
    Add {
        #[command(flatten)]
        object: Add,
        #[command(flatten)]
        options: AddOptions,
    },
    /// Delete one.
    #[command(visible_alias = "del")]
    Delete {
        #[command(flatten)]
        key: Key,
        #[command(flatten)]
        options: DeleteOptions,
    },
}

/// Options of `add`.
#[derive(Debug, Args)]
pub(super) struct AddOptions {
    /// Replace one that this source has already.
    #[arg(long)]
    pub(super) replace: bool,
    /// Who asks: grpc, cni or cluster.
    #[arg(long, default_value = "grpc")]
    pub(super) source: String,
}

/// Options of `delete`.
#[derive(Debug, Args)]
pub(super) struct DeleteOptions {
    /// It is fine if there is none.
    #[arg(long)]
    pub(super) missing_ok: bool,
    /// Whose to delete: grpc, cni or cluster.
    #[arg(long, default_value = "grpc")]
    pub(super) source: String,
}

/// Names one by its name.
#[derive(Debug, Args)]
pub(super) struct NameArg {
    /// Its name.
    pub(super) name: String,
}

/// Names one by its address in a network.
#[derive(Debug, Args)]
pub(super) struct AddressArgs {
    /// Its address.
    pub(super) address: String,
    /// Its network.
    #[arg(long)]
    pub(super) network: String,
}

/// No limit to a list.
#[derive(Debug, Args)]
pub(super) struct NoFilter {}

/// Limits a list to one network.
#[derive(Debug, Args)]
pub(super) struct NetworkFilter {
    /// Only those of this network.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) network: String,
}
