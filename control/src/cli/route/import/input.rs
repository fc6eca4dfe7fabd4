//! The file that routes are read from: plain or compressed. Does not know what is in it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;

use crate::cli::failure::Failure;

/// What gzip files begin with (RFC 1952 section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What bzip2 files begin with, as those of RouteViews.
const BZIP2: &[u8] = b"BZh";

/// Bytes that are read at once.
const READ_AHEAD: usize = 1 << 18;

/// The file's contents, decompressed.
pub(super) struct Input(Box<dyn BufRead + Send>);

impl Input {
    /// Opens a file; `-` is standard input.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let raw: Box<dyn Read + Send> = if path.as_os_str() == "-" {
            Box::new(io::stdin())
        } else {
            let file = File::open(path);
            let fail = |error| Failure::usage(format_args!("{}: {error}", path.display()));
            Box::new(file.map_err(fail)?)
        };
        let decompressed = Self::decompress(BufReader::with_capacity(READ_AHEAD, raw));
        decompressed.map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))
    }

    fn decompress(mut raw: impl BufRead + Send + 'static) -> io::Result<Self> {
        let start = raw.fill_buf()?;
        if start.starts_with(&GZIP) {
            return Ok(Self::ahead(MultiGzDecoder::new(raw)));
        }
        if start.starts_with(BZIP2) {
            return Ok(Self::ahead(MultiBzDecoder::new(raw)));
        }
        Ok(Self(Box::new(raw)))
    }

    fn ahead(plain: impl Read + Send + 'static) -> Self {
        Self(Box::new(BufReader::with_capacity(READ_AHEAD, plain)))
    }

    #[cfg(test)]
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Box::new(io::Cursor::new(bytes.to_vec())))
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

#[cfg(test)]
mod tests {
    use bzip2::write::BzEncoder;
    use flate2::write::GzEncoder;
    use io::Write;

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        let input = Input::decompress(io::Cursor::new(bytes.to_vec()));
        input?.read_to_string(&mut text)?;
        Ok(text)
    }

    fn sees_through(packed: &[u8]) {
        assert_eq!(read(packed).unwrap(), "10.0.0.0/8 drop\n");
        // Files may be put one behind the other.
        let twice = read(&[packed, packed].concat()).unwrap();
        assert_eq!(twice.lines().count(), 2);
        assert!(read(&packed[..packed.len() - 9]).is_err());
    }

    #[test]
    fn compressed_files_are_seen_through() {
        let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"10.0.0.0/8 drop\n").unwrap();
        sees_through(&gzip.finish().unwrap());
        let mut bzip2 = BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(b"10.0.0.0/8 drop\n").unwrap();
        sees_through(&bzip2.finish().unwrap());
        assert_eq!(read(b"plain").unwrap(), "plain");
    }
}
