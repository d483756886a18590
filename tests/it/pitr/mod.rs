//! `pitr`: chains seen, and clusters rewound.

mod list;
