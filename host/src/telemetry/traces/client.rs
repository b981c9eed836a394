//! The HTTP client of the exporter: one that blocks, since the library exports on a plain thread.

use std::future::{Future, ready};
use std::pin::Pin;
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

use super::options::Options;

/// Maximum length of a collector's answer, in bytes; it says how many spans it refused, and why.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Sends spans, and says in the log when they cannot be sent.
#[derive(Debug)]
pub(super) struct Client {
    agent: ureq::Agent,
    endpoint: String,
}

impl Client {
    pub(super) fn new(options: &Options) -> Self {
        Self { agent: agent(options.timeout), endpoint: options.endpoint.clone() }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (head, body) = request.into_parts();
        let (head, mut body) = self.agent.run(Request::from_parts(head, &body[..]))?.into_parts();
        let bytes = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        Ok(Response::from_parts(head, bytes.into()))
    }
}

fn agent(timeout: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false);
    config.build().new_agent()
}

impl HttpClient for Client {
    // What `async_trait` makes of it.
    fn send_bytes<'life0, 'async_trait>(
        &'life0 self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        let sent = self.send(request);
        let endpoint = &self.endpoint;
        match &sent {
            Err(error) => tracing::warn!(endpoint, %error, "traces cannot be exported"),
            Ok(answer) if !answer.status().is_success() => {
                tracing::warn!(endpoint, status = answer.status().as_u16(), "the collector refuses traces");
            }
            Ok(_) => {}
        }
        Box::pin(ready(sent.map_err(HttpError::from)))
    }
}
