//! What temporary credentials of Cloudflare R2 allow: a JSON Web Token that R2 reads and checks
//! itself (Cloudflare's documentation of R2, "Temporary credentials", local signing; its example
//! as reviewed in April 2026).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::base::time::UtcTime;
use crate::store::Rights;

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// R2's names of what a reader's requests are.
const READ: [&str; 4] = [
    "GetObject",
    "HeadObject",
    "ListObjectsV2",
    "ListMultipartUploads",
];

/// What a writer's are besides. Aborting takes nothing away that anybody could have read.
const WRITE: [&str; 5] = [
    "PutObject",
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
];

/// What a pruner's are besides.
const DELETE: [&str; 1] = ["DeleteObject"];

/// What is allowed, and who allows it.
pub(super) struct Grant {
    /// Whose bucket it is.
    pub(super) account_id: String,
    /// Id of the token that signs.
    pub(super) token_id: String,
    /// Host of the endpoint.
    pub(super) audience: String,
    /// The one bucket.
    pub(super) bucket: String,
    /// Where in it everything lies, as in [`super::S3Settings`].
    pub(super) prefix: String,
    /// What is done there.
    pub(super) rights: Rights,
}

/// The secret parts of temporary credentials; their access key id is that of the token.
pub(super) struct Signed {
    pub(super) secret_access_key: SecretString,
    pub(super) session_token: SecretString,
}

/// The token could not be written. Neither its text nor the key is in here.
#[derive(Debug, thiserror::Error)]
#[error("temporary credentials cannot be signed")]
pub(super) struct CannotSign;

/// In the order of R2's example. `scope` bounds what `actions` may name.
#[derive(Serialize)]
struct Claims<'a> {
    bucket: &'a str,
    scope: &'static str,
    actions: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<Paths>,
    sub: &'a str,
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

/// Without it the whole bucket is meant.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Paths {
    prefix_paths: [String; 1],
    object_paths: [String; 0],
}

impl Grant {
    /// Signs it with the token's S3 secret (the hexadecimal digest of its value), valid `from`
    /// one time `until` another.
    pub(super) fn sign(
        &self,
        token_secret: &SecretString,
        from: UtcTime,
        until: UtcTime,
    ) -> Result<Signed, CannotSign> {
        let claims = serde_json::to_vec(&self.claims(from, until)).map_err(|_| CannotSign)?;
        let (header, claims) = (url_safe(HEADER.as_bytes()), url_safe(&claims));
        let mut jwt = Zeroizing::new(format!("{header}.{claims}"));
        let key = token_secret.expose_secret().as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| CannotSign)?;
        mac.update(jwt.as_bytes());
        let signature = url_safe(&mac.finalize().into_bytes());
        *jwt = format!("{}.{signature}", *jwt);
        let token = Zeroizing::new(format!("jwt/{}", *jwt));
        Ok(Signed {
            secret_access_key: hex::encode(Sha256::digest(jwt.as_bytes())).into(),
            session_token: STANDARD.encode(token.as_bytes()).into(),
        })
    }

    fn claims(&self, from: UtcTime, until: UtcTime) -> Claims<'_> {
        Claims {
            bucket: &self.bucket,
            scope: match self.rights {
                Rights::Read => "object-read-only",
                Rights::Write | Rights::Delete => "object-read-write",
            },
            actions: actions(self.rights),
            paths: (!self.prefix.is_empty()).then(|| Paths {
                prefix_paths: [format!("{}/", self.prefix)],
                object_paths: [],
            }),
            sub: &self.account_id,
            iss: &self.token_id,
            aud: &self.audience,
            iat: from.unix(),
            exp: until.unix(),
        }
    }
}

fn actions(rights: Rights) -> Vec<&'static str> {
    let named: [(Rights, &[&'static str]); 3] = [
        (Rights::Read, &READ),
        (Rights::Write, &WRITE),
        (Rights::Delete, &DELETE),
    ];
    let granted = named.into_iter().filter(|(needed, _)| *needed <= rights);
    granted.flat_map(|(_, names)| names).copied().collect()
}

fn url_safe(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn grant(prefix: &str, rights: Rights) -> Grant {
        Grant {
            account_id: "0123456789abcdef0123456789abcdef".to_owned(),
            token_id: "token-id".to_owned(),
            audience: "0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com".to_owned(),
            bucket: "escrow".to_owned(),
            prefix: prefix.to_owned(),
            rights,
        }
    }

    /// `printf %s token-value | sha256sum`
    const SECRET: &str = "e6c02a5742ea9d4de588eb9b9de7bed43dc17011552186bed3e98b2c5958ff4a";

    fn signed(grant: &Grant, from: i64, until: i64) -> Signed {
        let (from, until) = (UtcTime::from_unix(from), UtcTime::from_unix(until));
        grant.sign(&SECRET.into(), from, until).unwrap()
    }

    /// The claims, as R2 finds them in a session token.
    fn claims(signed: &Signed) -> Value {
        let token = STANDARD
            .decode(signed.session_token.expose_secret())
            .unwrap();
        let token = String::from_utf8(token).unwrap();
        let claims = token.strip_prefix("jwt/").unwrap().split('.').nth(1);
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims.unwrap()).unwrap()).unwrap()
    }

    /// Computed by Python's `hmac`, `hashlib` and `base64` from the claims as a text: header and
    /// claims in URL-safe base64, HMAC-SHA-256 of the two under [`SECRET`] as it is written.
    #[test]
    fn token_is_what_another_implementation_signs() {
        let signed = signed(
            &grant("databasus", Rights::Read),
            1_781_229_600,
            1_781_233_200,
        );
        assert_eq!(
            signed.secret_access_key.expose_secret(),
            "f319f58d0542b3ce426dad864a1d570b9546c78eabda9538ddfd0b1ccf824a54"
        );
        let jwt = STANDARD.decode(signed.session_token.expose_secret());
        assert_eq!(
            String::from_utf8(jwt.unwrap()).unwrap(),
            "jwt/eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJidWNrZXQiOiJlc2Nyb3ciLCJzY29wZSI6Im9iamV\
             jdC1yZWFkLW9ubHkiLCJhY3Rpb25zIjpbIkdldE9iamVjdCIsIkhlYWRPYmplY3QiLCJMaXN0T2JqZWN0c1Y\
             yIiwiTGlzdE11bHRpcGFydFVwbG9hZHMiXSwicGF0aHMiOnsicHJlZml4UGF0aHMiOlsiZGF0YWJhc3VzLyJ\
             dLCJvYmplY3RQYXRocyI6W119LCJzdWIiOiIwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZiIsIml\
             zcyI6InRva2VuLWlkIiwiYXVkIjoiMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYucjIuY2xvdWR\
             mbGFyZXN0b3JhZ2UuY29tIiwiaWF0IjoxNzgxMjI5NjAwLCJleHAiOjE3ODEyMzMyMDB9.9qvMlcXWNnUgis\
             uhXHBuTtzy2w0jyw3oYgMVianiP3w"
        );
    }

    #[test]
    fn reader_reads_writer_does_not_delete_and_only_the_pruner_does() {
        let named = |rights| claims(&signed(&grant("p", rights), 0, 1))["actions"].to_string();
        for (rights, writes, deletes) in [
            (Rights::Read, false, false),
            (Rights::Write, true, false),
            (Rights::Delete, true, true),
        ] {
            let named = named(rights);
            assert!(named.contains("GetObject"), "{named}");
            assert_eq!(named.contains("PutObject"), writes, "{named}");
            assert_eq!(named.contains("UploadPart"), writes, "{named}");
            assert_eq!(named.contains("Delete"), deletes, "{named}");
        }
    }

    fn rights() -> impl Strategy<Value = Rights> {
        prop::sample::select(vec![Rights::Read, Rights::Write, Rights::Delete])
    }

    proptest! {
        #[test]
        fn no_more_is_granted_than_asked(
            bucket in "[a-z0-9.\"-]{1,20}",
            prefix in "(\\PC{1,9}(/\\PC{1,9}){0,2})?",
            rights in rights(),
            from in 0..4_000_000_000_i64,
            lifetime in 1..100_000_i64,
        ) {
            let grant = Grant { bucket: bucket.clone(), ..grant(&prefix, rights) };
            let claims = claims(&signed(&grant, from, from + lifetime));
            prop_assert_eq!(&claims["bucket"], &Value::from(bucket));
            let whole = prefix.is_empty();
            prop_assert_eq!(claims.get("paths").is_none(), whole);
            if !whole {
                let only = serde_json::json!({
                    "prefixPaths": [format!("{prefix}/")],
                    "objectPaths": [],
                });
                prop_assert_eq!(&claims["paths"], &only);
            }
            let scope = match rights {
                Rights::Read => "object-read-only",
                _ => "object-read-write",
            };
            prop_assert_eq!(&claims["scope"], scope);
            for action in claims["actions"].as_array().unwrap() {
                let action = action.as_str().unwrap();
                let needed = match action {
                    "GetObject" | "HeadObject" | "ListObjectsV2" | "ListMultipartUploads" => {
                        Rights::Read
                    }
                    "DeleteObject" => Rights::Delete,
                    action => {
                        prop_assert!(action == "PutObject" || action.contains("MultipartUpload") || action == "UploadPart");
                        Rights::Write
                    }
                };
                prop_assert!(needed <= rights, "{} with {:?}", action, rights);
            }
            let span = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
            prop_assert_eq!(span, lifetime);
        }
    }
}
