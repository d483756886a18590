//! An administrator's token, signed with `secret.key` as Databasus signs its own: a JSON Web Token
//! (RFC 7519), HS256 (RFC 7518 §3.2) over the exact bytes of the file.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Admin;
use crate::base::time::UtcTime;
use crate::databasus::secret_key::SecretKey;

/// How long a token is good for, in seconds. Databasus' own last ten years.
pub const LIFETIME: i64 = 300;

/// Databasus refuses a token of the future, and its clock may be behind ours by this much.
const SKEW: i64 = 30;

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// Whoever has it is the administrator until it expires. It is in no log, no file and no error.
pub struct AdminToken(Zeroizing<String>);

impl AdminToken {
    /// Signs one with what Databasus demands of its claims: besides who and until when, the second
    /// in which the password was set, which must be the one in the users table.
    pub fn sign(key: &SecretKey, admin: &Admin, now: UtcTime) -> Self {
        let claims = format!(
            r#"{{"exp":{},"iat":{},"passwordCreationTime":{},"role":"ADMIN","sub":"{}"}}"#,
            now.plus(LIFETIME).unix(),
            now.plus(-SKEW).unix(),
            admin.password_set.unix(),
            admin.id
        );
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!(
            "{}.{}",
            encode(HEADER.as_bytes()),
            encode(claims.as_bytes())
        );
        let signature = signature(key, signed.as_bytes());
        Self(Zeroizing::new(format!("{signed}.{}", encode(&signature))))
    }

    /// The token, for the header of a request alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

fn signature(key: &SecretKey, signed: &[u8]) -> [u8; 32] {
    // HMAC takes keys of every length: there is no failure to tell of.
    Hmac::<Sha256>::new_from_slice(key.expose()).map_or([0; 32], |mut mac| {
        mac.update(signed);
        mac.finalize().into_bytes().into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "11111111-1111-4111-8111-11111111111122222222-2222-4222-8222-222222222222";

    fn token(key: &str) -> AdminToken {
        let admin = Admin {
            id: "33333333-3333-4333-8333-333333333333".parse().unwrap(),
            password_set: UtcTime::from_unix(1_767_225_600),
        };
        let key = SecretKey::new(key.as_bytes().to_vec()).unwrap();
        AdminToken::sign(&key, &admin, UtcTime::from_unix(1_781_280_000))
    }

    /// Computed with Python's `hmac` and `base64`, and again with OpenSSL 3.0:
    /// `printf %s "$SIGNED" | openssl dgst -sha256 -hmac "$KEY" -binary | basenc --base64url`
    #[test]
    fn token_known_answer() {
        assert_eq!(
            token(KEY).expose(),
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
             eyJleHAiOjE3ODEyODAzMDAsImlhdCI6MTc4MTI3OTk3MCwicGFzc3dvcmRDcmVhdGlvblRpbWUiOjE3NjcyMjU2\
             MDAsInJvbGUiOiJBRE1JTiIsInN1YiI6IjMzMzMzMzMzLTMzMzMtNDMzMy04MzMzLTMzMzMzMzMzMzMzMyJ9.\
             QrkYypRwjpCKCoz61P--Zs1NVhq6F6ACecC--y-1tak"
        );
    }

    #[test]
    fn a_newline_at_the_keys_end_signs_otherwise() {
        assert_ne!(token(KEY).expose(), token(&format!("{KEY}\n")).expose());
    }

    #[test]
    fn debug_output_hides_it() {
        assert_eq!(format!("{:?}", token(KEY)), "AdminToken");
    }
}
