//! Whom a token is made out to.

use uuid::Uuid;

use crate::base::time::UtcTime;
use crate::postgres::wire::{Connection, PgError, Row};

/// The administrator who has been there longest. He need not have a password.
const SELECT: &str = "\
SELECT id::text, floor(extract(epoch FROM password_creation_time))::bigint::text \
FROM public.users WHERE role = 'ADMIN' AND status = 'ACTIVE' ORDER BY created_at, id LIMIT 1";

/// An active administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admin {
    /// `users.id`.
    pub id: Uuid,
    /// When the password was set, cut to seconds: Databasus compares it with the token's.
    pub password_set: UtcTime,
}

/// Reads one out of the users table; none where there is none.
pub fn admin(session: &mut Connection) -> Result<Option<Admin>, PgError> {
    let rows = session.simple_query(SELECT)?;
    rows.into_iter().next().map(admin_of).transpose()
}

fn admin_of(row: Row) -> Result<Admin, PgError> {
    let malformed = || PgError::Protocol("a user without id or date".to_owned());
    let mut columns = row.into_iter().flatten();
    let id = columns.next().and_then(|text| text.parse().ok());
    let seconds = columns.next().and_then(|text| text.parse().ok());
    let (id, seconds) = id.zip(seconds).ok_or_else(malformed)?;
    Ok(Admin {
        id,
        password_set: UtcTime::from_unix(seconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_row_is_read() {
        let row = [Uuid::nil().to_string(), "1767225600".to_owned()];
        let admin = admin_of(row.map(Some).to_vec()).unwrap();
        assert_eq!(admin.id, Uuid::nil());
        assert_eq!(admin.password_set.unix(), 1_767_225_600);
    }

    proptest! {
        #[test]
        fn no_row_makes_reading_panic(row in prop::collection::vec(any::<Option<String>>(), 0..4)) {
            let _ = admin_of(row);
        }
    }
}
