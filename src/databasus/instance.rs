//! `instance.json`: the telemetry id, present since 3.33 where telemetry is on.

use serde::Deserialize;

#[derive(Deserialize)]
struct InstanceFile {
    #[serde(rename = "instanceID")]
    instance_id: String,
}

/// The id in an `instance.json`; none if the file is not what Databasus writes. A file that
/// identifies nothing must not stop a snapshot.
pub fn parse_id(bytes: &[u8]) -> Option<String> {
    let file: InstanceFile = serde_json::from_slice(bytes).ok()?;
    let is_uuid = file.instance_id.len() == 36
        && file
            .instance_id
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_uuid.then_some(file.instance_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_read_and_anything_else_is_no_id() {
        let id = "0f1e2d3c-4b5a-4968-8776-655443322110";
        let file = format!(r#"{{"instanceID":"{id}","installedAt":"2026-05-22"}}"#);
        assert_eq!(parse_id(file.as_bytes()).as_deref(), Some(id));
        for other in ["", "{}", r#"{"instanceID":"../../x"}"#, "[1]"] {
            assert_eq!(parse_id(other.as_bytes()), None);
        }
    }
}
