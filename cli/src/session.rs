//! What every command needs: the client, and how results are printed.

use trandb_client::{Client, RetryPolicy};

use crate::{args::Global, failure::Failure};

pub(crate) struct Session {
    pub(crate) client: Client,
    /// Results and errors are JSON.
    pub(crate) json: bool,
}

impl Session {
    /// Must be called within the runtime. Connects to nothing yet.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        let retries = RetryPolicy::default().max_retries(global.retries);
        let mut builder = Client::builder().timeout(global.timeout).retries(retries);
        for endpoint in &global.endpoint {
            builder = builder.endpoint(endpoint.to_string());
        }
        Ok(Self {
            client: builder.build()?,
            json: global.json,
        })
    }
}
