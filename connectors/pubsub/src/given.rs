//! A client that the user gives, built or to be built.

use std::{pin::Pin, sync::Arc};

use broadway_core::BoxError;
use google_cloud_pubsub::client::Subscriber;

use crate::connect::Limit;

/// A client that is being built.
pub(crate) type Building = Pin<Box<dyn Future<Output = Result<Subscriber, BoxError>> + Send>>;

#[derive(Clone)]
pub(crate) enum ClientGiven {
    /// On a runtime of the user's, which drives its connection.
    Built(Subscriber),
    /// To be built where a producer is opened.
    Build(Arc<dyn Fn() -> Building + Send + Sync>),
}

impl ClientGiven {
    /// The client, with its connection on the runtime that this runs on if there is a choice.
    pub(crate) async fn get(&self, limit: Limit) -> Result<Subscriber, BoxError> {
        let build = match self {
            Self::Built(client) => return Ok(client.clone()),
            Self::Build(build) => build,
        };
        match limit.deadline.within(build()).await {
            Some(Ok(client)) => Ok(client),
            Some(Err(error)) => Err(format!("`client_with` built no client: {error}").into()),
            None => Err(format!(
                "`client_with` built no client within {:?} (`connect_timeout`)",
                limit.within
            )
            .into()),
        }
    }
}
