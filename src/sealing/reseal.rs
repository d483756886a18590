//! Sealing again: what is inside a payload goes into another one under a new file key, byte for
//! byte and unopened.

use std::io::{self, Read, Write};

use super::identities::{BoxedRecipient, Identities};
use super::parts::{VerifiedPart, VerifiedStream};
use super::payload::{self, SealError};
use super::unpack::{self, UnpackError};

/// A payload without its outermost layer. Its identity is no longer needed.
pub struct Unsealed<'s, I> {
    plain: age::stream::StreamReader<&'s mut VerifiedStream<I>>,
}

/// A payload could not be sealed again; what was written is worth nothing.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// The sealed bytes are damaged, or could not be read.
    #[error("cannot read the payload")]
    Read(#[source] io::Error),
    /// The new ones could not be written.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl<'s, I> Unsealed<'s, I>
where
    I: Iterator<Item = io::Result<VerifiedPart>>,
{
    /// Opens the age header, and reads no further.
    pub fn open(
        stream: &'s mut VerifiedStream<I>,
        identities: &Identities,
    ) -> Result<Self, UnpackError> {
        let identities: Vec<_> = identities.iter().collect();
        let plain = unpack::age_layer(stream, &identities)?;
        Ok(Self { plain })
    }

    /// Seals everything inside to `recipients`, and returns what it was written to.
    pub fn seal_to<W: Write>(
        mut self,
        recipients: &[BoxedRecipient],
        out: W,
    ) -> Result<W, ResealError> {
        let mut sealed = payload::age_layer(out, recipients)?;
        let mut buffer = zeroize::Zeroizing::new(vec![0; 64 << 10]);
        loop {
            let count = match self.plain.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ResealError::Read(error)),
            };
            let taken = sealed.write_all(&buffer[..count]);
            taken.map_err(SealError::Io)?;
        }
        Ok(sealed.finish().map_err(SealError::Io)?)
    }
}

/// Reads what is left of a stream that should be at its end: only there the digest of the whole
/// is compared.
pub fn expect_end<I>(stream: &mut VerifiedStream<I>) -> Result<(), ResealError>
where
    I: Iterator<Item = io::Result<VerifiedPart>>,
{
    let left = io::copy(stream, &mut io::sink()).map_err(ResealError::Read)?;
    match left {
        0 => Ok(()),
        _ => Err(ResealError::Read(io::ErrorKind::InvalidData.into())),
    }
}
