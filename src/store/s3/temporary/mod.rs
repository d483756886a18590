//! Temporary credentials of Cloudflare R2, signed here and renewed while a run lasts. They bound
//! what a run can do, and what can be done with what leaks from it; whoever reads the token
//! itself has all of the token's rights.

mod grant;

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use secrecy::{ExposeSecret, SecretString};

use super::S3Settings;
use crate::base::time::{Clock, UtcTime};
use crate::store::Rights;

use grant::Grant;

/// How long they are valid, in seconds.
const LIFETIME: i64 = 3_600;

/// How long before their end no request begins with them any more, in seconds. More than an
/// attempt may take ([`super::Patience::transfer`]).
const MARGIN: i64 = 900;

/// That requests are made with temporary credentials, and what these allow: the settings' bucket,
/// below their prefix.
#[derive(Clone, Debug)]
pub struct Temporary {
    /// Cloudflare's id of the account.
    pub account_id: String,
    /// What the command at hand does there.
    pub rights: Rights,
}

/// Signs new credentials whenever the SDK finds the last ones at their end.
pub(super) struct Renewing<C> {
    grant: Grant,
    token_secret: SecretString,
    clock: C,
}

impl<C: Clock> Renewing<C> {
    pub(super) fn new(settings: &S3Settings, temporary: &Temporary, clock: C) -> Self {
        let endpoint = settings.endpoint.as_deref().unwrap_or_default();
        Self {
            grant: Grant {
                account_id: temporary.account_id.clone(),
                token_id: settings.access_key_id.clone(),
                audience: host(endpoint),
                bucket: settings.bucket.clone(),
                prefix: settings.prefix.clone(),
                rights: temporary.rights,
            },
            token_secret: settings.secret_access_key.clone(),
            clock,
        }
    }

    fn renew(&self) -> Result<Credentials, CredentialsError> {
        let now = self.clock.now();
        let end = now.plus(LIFETIME);
        let signed = self.grant.sign(&self.token_secret, now, end);
        let signed = signed.map_err(CredentialsError::provider_error)?;
        Ok(Credentials::new(
            &self.grant.token_id,
            signed.secret_access_key.expose_secret(),
            Some(signed.session_token.expose_secret().to_owned()),
            Some(system_time(end.plus(-MARGIN))),
            "databasus-escrow",
        ))
    }
}

impl<C: Clock> ProvideCredentials for Renewing<C> {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.renew())
    }
}

impl<C> fmt::Debug for Renewing<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("temporary credentials of R2")
    }
}

/// Host and port as a browser names them, which is how R2 compares them.
fn host(endpoint: &str) -> String {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("", endpoint));
    let host = rest.split('/').next().unwrap_or_default();
    let usual_port = match scheme {
        "https" => ":443",
        _ => ":80",
    };
    host.strip_suffix(usual_port)
        .unwrap_or(host)
        .to_ascii_lowercase()
}

fn system_time(time: UtcTime) -> SystemTime {
    let seconds = u64::try_from(time.unix()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::super::Patience;
    use super::*;

    /// A clock that goes on when it is told to.
    #[derive(Default)]
    struct Told(AtomicI64);

    impl Clock for &Told {
        fn now(&self) -> UtcTime {
            UtcTime::from_unix(self.0.load(Ordering::SeqCst))
        }
    }

    fn renewing(clock: &Told) -> Renewing<&Told> {
        let temporary = Temporary {
            account_id: "0123456789abcdef".to_owned(),
            rights: Rights::Write,
        };
        let settings = S3Settings {
            bucket: "escrow".to_owned(),
            prefix: "databasus".to_owned(),
            endpoint: Some("https://0123456789abcdef.r2.cloudflarestorage.com".to_owned()),
            region: "auto".to_owned(),
            path_style: true,
            access_key_id: "token-id".to_owned(),
            secret_access_key: "hush-hush".into(),
            session_token: None,
            temporary: Some(temporary.clone()),
        };
        Renewing::new(&settings, &temporary, clock)
    }

    #[test]
    fn ten_hours_of_uploading_are_signed_for_again_and_again() {
        let clock = Told::default();
        let renewing = renewing(&clock);
        let mut tokens = std::collections::BTreeSet::new();
        for hour in 0..10 {
            let now = hour * 3_600;
            clock.0.store(now, Ordering::SeqCst);
            let credentials = renewing.renew().unwrap();
            assert_eq!(credentials.access_key_id(), "token-id");
            let left = credentials.expiry().unwrap();
            let left = left.duration_since(system_time(UtcTime::from_unix(now)));
            assert_eq!(left.unwrap().as_secs(), 2_700);
            tokens.insert(credentials.session_token().unwrap().to_owned());
        }
        assert_eq!(tokens.len(), 10);
    }

    #[test]
    fn attempt_that_begins_at_the_last_moment_ends_in_time() {
        let longest = Patience::default().transfer.as_secs();
        assert!(i64::try_from(longest).unwrap() < MARGIN && MARGIN < LIFETIME);
    }

    #[test]
    fn debug_output_hides_secrets() {
        let clock = Told::default();
        let renewing = renewing(&clock);
        let credentials = renewing.renew().unwrap();
        let shown = format!("{renewing:?} {credentials:?}");
        assert!(!shown.contains("hush"), "{shown}");
        assert!(!shown.contains(credentials.session_token().unwrap()));
    }

    #[test]
    fn audience_is_the_host_as_a_browser_names_it() {
        for (endpoint, named) in [
            ("https://A.r2.example.com", "a.r2.example.com"),
            ("https://a.example.com:443/x", "a.example.com"),
            ("http://127.0.0.1:8333", "127.0.0.1:8333"),
            ("http://host:80", "host"),
            ("https://host:80", "host:80"),
        ] {
            assert_eq!(host(endpoint), named);
        }
    }
}
