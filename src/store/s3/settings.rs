//! Where a bucket is, who asks, and the client that suits every known implementation.

use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    AppName, BehaviorVersion, Config, Credentials, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use secrecy::{ExposeSecret, SecretString};

use super::temporary::{Renewing, Temporary};
use crate::base::names::StoreName;
use crate::base::time::SystemClock;

/// A bucket and the credentials for it. Nothing is looked up anywhere else: no environment,
/// no profile, no instance metadata.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// The bucket's name.
    pub bucket: String,
    /// Where in the bucket the store begins: empty, or names joined by `/` without a slash at
    /// either end.
    pub prefix: String,
    /// `https://…`, or `http://…` for tests; AWS itself where absent.
    pub endpoint: Option<String>,
    /// `auto` for R2.
    pub region: String,
    /// The bucket in the path instead of the host name.
    pub path_style: bool,
    /// The public half of the credentials.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: SecretString,
    /// With credentials that somebody else made for a short while.
    pub session_token: Option<SecretString>,
    /// Where requests are not made with these credentials, but with short-lived ones that are
    /// signed with them.
    pub temporary: Option<Temporary>,
}

/// When a call is given up.
#[derive(Clone, Debug)]
pub struct Patience {
    /// How often a request is sent before its failure counts.
    pub attempts: u32,
    /// The longest pause between two attempts; they grow exponentially from one second.
    pub longest_pause: Duration,
    /// For a connection to be made.
    pub connect: Duration,
    /// For an answer to begin, counted from the first byte sent.
    pub answer: Duration,
    /// For one attempt that carries a part or makes the store join parts. A part of 64 MiB
    /// takes 9 minutes over 1 Mbit/s.
    pub transfer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 8,
            longest_pause: Duration::from_secs(20),
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            transfer: Duration::from_secs(600),
        }
    }
}

impl Patience {
    /// For one look at a store, as a person waits for it.
    pub fn brief() -> Self {
        Self {
            attempts: 2,
            longest_pause: Duration::from_millis(500),
            connect: Duration::from_secs(3),
            answer: Duration::from_secs(15),
            transfer: Duration::from_secs(120),
        }
    }

    fn timeouts(&self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.connect)
            .read_timeout(self.answer)
            .operation_attempt_timeout(self.transfer)
            .build()
    }

    /// For requests that carry a part, or whose answer takes as long as joining the parts:
    /// the SDK counts the time to the first byte of an answer from the request's first byte.
    pub(super) fn transfer_config(&self) -> aws_sdk_s3::config::Builder {
        let timeouts = self.timeouts().into_builder();
        Config::builder().timeout_config(timeouts.read_timeout(self.transfer).build())
    }
}

/// Settings that no request can be made from.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error("the bucket has no name")]
    Bucket,
    #[error("the prefix must be empty or names joined by '/', without '/' at either end")]
    Prefix,
    #[error("the endpoint must begin with https:// or http:// and hold no credentials")]
    Endpoint,
    #[error("temporary credentials are those of R2: they need an endpoint and no session token")]
    Temporary,
    #[error("the certificates to trust cannot be set up")]
    Trust(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl S3Settings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        if self.bucket.is_empty() || self.bucket.contains('/') {
            return Err(SettingsError::Bucket);
        }
        let named = |part: &str| !matches!(part, "" | "." | "..");
        if !self.prefix.is_empty() && !self.prefix.split('/').all(named) {
            return Err(SettingsError::Prefix);
        }
        let usable = |url: &String| {
            (url.starts_with("https://") || url.starts_with("http://")) && !url.contains('@')
        };
        if !self.endpoint.iter().all(usable) {
            return Err(SettingsError::Endpoint);
        }
        let derivable = self.endpoint.is_some() && self.session_token.is_none();
        if self.temporary.is_some() && !derivable {
            return Err(SettingsError::Temporary);
        }
        Ok(())
    }

    pub(super) fn location(&self) -> String {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        let place = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("AWS {}", self.region),
        };
        format!("s3://{}{slash}{} at {place}", self.bucket, self.prefix)
    }

    /// A client with settings that AWS, R2, MinIO, SeaweedFS and others all accept: integrity
    /// by Content-MD5 alone, since R2 refuses two digests and older stores the SDK's CRC32.
    pub(super) fn client(
        &self,
        store: &StoreName,
        patience: &Patience,
    ) -> Result<Client, SettingsError> {
        let stalls = StalledStreamProtectionConfig::enabled()
            .upload_enabled(false) // mistakes slow uplinks for stalled ones
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(patience.attempts)
            .with_max_backoff(patience.longest_pause);
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .app_name(AppName::new("databasus-escrow").map_err(|why| trust(why.into()))?)
            .http_client(self.http_client()?)
            .credentials_provider(self.credentials())
            .region(Region::new(self.region.clone()))
            .force_path_style(self.path_style)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .stalled_stream_protection(stalls)
            .retry_config(retries)
            // Of its own: a dead store must not use up the retries of a healthy one.
            .retry_partition(RetryPartition::custom(store.to_string()).build())
            .timeout_config(patience.timeouts());
        config.set_endpoint_url(self.endpoint.clone());
        Ok(Client::from_conf(config.build()))
    }

    fn credentials(&self) -> SharedCredentialsProvider {
        if let Some(temporary) = &self.temporary {
            let renewing = Renewing::new(self, temporary, SystemClock);
            return SharedCredentialsProvider::new(renewing);
        }
        let token = self.session_token.as_ref();
        SharedCredentialsProvider::new(Credentials::new(
            &self.access_key_id,
            self.secret_access_key.expose_secret(),
            token.map(|token| token.expose_secret().to_owned()),
            None,
            "databasus-escrow",
        ))
    }

    fn http_client(&self) -> Result<SharedHttpClient, SettingsError> {
        // Hosts without any certificates can still reach a plain endpoint.
        let https = !self.endpoint.iter().any(|url| url.starts_with("http://"));
        let trusted = TrustStore::empty().with_native_roots(https);
        let context = TlsContext::builder().with_trust_store(trusted).build();
        Ok(aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::rustls(CryptoMode::Ring))
            .tls_context(context.map_err(|why| trust(why.into()))?)
            .build_https())
    }
}

fn trust(why: Box<dyn std::error::Error + Send + Sync>) -> SettingsError {
    SettingsError::Trust(why)
}
