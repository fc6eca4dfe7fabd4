//! The file that routes are read from: plain or compressed. Does not know what is in it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use crate::cli::failure::Failure;

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
        Ok(Self(Box::new(BufReader::with_capacity(READ_AHEAD, raw))))
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
