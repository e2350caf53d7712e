//! Everything that can go wrong, in one enum. Each message names the thing, what was found and what was
//! wanted.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use feynkac_kernels::error::KernelError;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What was being done to a path when the operating system refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reading a file the caller named: the caller can mend this.
    Read,
    /// Writing a result.
    Write,
}

/// Bad input, bad weights, a device fault, or a file the operating system refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument or an option has a value it cannot have.
    #[error("{what}: found {found}, wanted {wanted}")]
    Input {
        /// The argument, option or quantity.
        what: String,
        /// Its value, as read.
        found: String,
        /// The values it may have.
        wanted: String,
    },
    /// A text file (a configuration or a target) says something it cannot say.
    #[error("{}: {what}: found {found}, wanted {wanted}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The key, with its index in a list, or the line and column.
        what: String,
        /// What stands there.
        found: String,
        /// What may stand there.
        wanted: String,
    },
    /// A weights file is damaged, or does not hold what its configuration needs.
    #[error("{}: {what}: found {found}, wanted {wanted}", file.display())]
    Weights {
        /// The safetensors file.
        file: PathBuf,
        /// The tensor, or the part of the file.
        what: String,
        /// What it holds.
        found: String,
        /// What it must hold.
        wanted: String,
    },
    /// A launch was refused, or the device failed.
    #[error(transparent)]
    Device(#[from] KernelError),
    /// The particles died on the way.
    #[error("step {step}, group {group}: {what}")]
    Run {
        /// 0-based step.
        step: usize,
        /// 0-based group.
        group: usize,
        /// What happened to it.
        what: &'static str,
    },
    /// The operating system refused a file.
    #[error("{}: cannot {} it: {source}", path.display(), match access { Access::Read => "read", Access::Write => "write" })]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Whether it was to be read or written.
        access: Access,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Error {
    /// An [`Error::Input`].
    pub fn input(what: impl Display, found: impl Display, wanted: impl Display) -> Self {
        Error::Input { what: what.to_string(), found: found.to_string(), wanted: wanted.to_string() }
    }

    /// An [`Error::File`].
    pub fn file(file: &Path, what: impl Display, found: impl Display, wanted: impl Display) -> Self {
        Error::File {
            file: file.to_path_buf(),
            what: what.to_string(),
            found: found.to_string(),
            wanted: wanted.to_string(),
        }
    }

    /// An [`Error::Weights`].
    pub fn weights(file: &Path, what: impl Display, found: impl Display, wanted: impl Display) -> Self {
        Error::Weights {
            file: file.to_path_buf(),
            what: what.to_string(),
            found: found.to_string(),
            wanted: wanted.to_string(),
        }
    }

    /// An [`Error::Io`] of a file that was to be read.
    pub fn read(path: &Path, source: io::Error) -> Self {
        Error::Io { path: path.to_path_buf(), access: Access::Read, source }
    }

    /// An [`Error::Io`] of a file that was to be written.
    pub fn write(path: &Path, source: io::Error) -> Self {
        Error::Io { path: path.to_path_buf(), access: Access::Write, source }
    }

    /// The same trouble, told of a file: an [`Error::Input`] found while reading `file` becomes an
    /// [`Error::File`]; every other error stays as it is.
    #[must_use]
    pub fn in_file(self, file: &Path) -> Self {
        match self {
            Error::Input { what, found, wanted } => Error::file(file, what, found, wanted),
            other => other,
        }
    }

    /// What the user can do about it, where that is known: one sentence for the command line.
    pub fn help(&self) -> Option<String> {
        match self {
            Error::Input { .. } => None,
            Error::File { file, .. } if file.extension().is_some_and(|e| e == "safetensors") => {
                Some(format!("put a config.json beside {} that describes the network", file.display()))
            }
            Error::File { file, .. } => Some(format!("mend {} and run again", file.display())),
            Error::Weights { file, .. } => Some(format!(
                "look at the file with `feynkac inspect {}`; a damaged file must be made or fetched again",
                file.display()
            )),
            Error::Device(KernelError::DeviceName { .. } | KernelError::DeviceMissing { .. }) => {
                Some("see what this machine offers with `feynkac devices`".to_string())
            }
            Error::Run { .. } => {
                Some("more particles, more steps or a smaller exponent keep weights alive".to_owned())
            }
            Error::Device(_) => None,
            Error::Io { path, access, source } => match (access, source.kind()) {
                (Access::Read, io::ErrorKind::NotFound) => Some(format!(
                    "there is no {}; check the path, which is taken from the current folder",
                    path.display()
                )),
                (_, io::ErrorKind::PermissionDenied) => {
                    Some(format!("check the permissions of {}", path.display()))
                }
                (Access::Write, io::ErrorKind::NotFound) => {
                    Some(format!("make the folder of {} first", path.display()))
                }
                (Access::Write, io::ErrorKind::StorageFull) => {
                    Some("make room, or write to another disk".to_string())
                }
                _ => None,
            },
        }
    }

    /// The exit code of the command line: 2 when the input must change (options, configurations, weights
    /// files, files that cannot be read), 1 when the run itself failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Input { .. } | Error::File { .. } | Error::Weights { .. } => 2,
            Error::Io { access, .. } => match access {
                Access::Read => 2,
                Access::Write => 1,
            },
            Error::Device(
                KernelError::DeviceName { .. } | KernelError::Argument { .. } | KernelError::TooLarge { .. },
            ) => 2,
            Error::Device(_) | Error::Run { .. } => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_thing_what_was_found_and_what_was_wanted() {
        let p = Path::new("w/model.safetensors");
        for (e, message, code) in [
            (Error::input("steps", 0, "1 to 9"), "steps: found 0, wanted 1 to 9", 2),
            (
                Error::weights(p, "tensor in.bias", "shape [3]", "shape [4]"),
                "w/model.safetensors: tensor in.bias: found shape [3], wanted shape [4]",
                2,
            ),
            (
                Error::input("dim", -1, "at least 1").in_file(Path::new("c.json")),
                "c.json: dim: found -1, wanted at least 1",
                2,
            ),
            (
                Error::read(p, io::ErrorKind::NotFound.into()),
                "w/model.safetensors: cannot read it: entity not found",
                2,
            ),
            (
                Error::write(p, io::ErrorKind::StorageFull.into()),
                "w/model.safetensors: cannot write it: no storage space",
                1,
            ),
            (
                KernelError::DeviceName { found: "tpu".to_string() }.into(),
                "device 'tpu': wanted auto, cpu[:threads], wgpu[:index] or cuda[:index]",
                2,
            ),
            (
                KernelError::Device { during: "reading", message: "lost".to_string() }.into(),
                "the device failed while reading: lost",
                1,
            ),
        ] {
            assert_eq!(e.to_string(), message);
            assert_eq!(e.exit_code(), code, "{message}");
        }
    }

    #[test]
    fn help_is_given_where_the_user_can_act() {
        let p = Path::new("w/model.safetensors");
        let missing = Error::read(p, io::ErrorKind::NotFound.into()).help();
        assert!(missing.is_some_and(|h| h.contains("w/model.safetensors")));
        let damaged = Error::weights(p, "header", "7 bytes", "8 bytes").help();
        assert!(damaged.is_some_and(|h| h.contains("feynkac inspect w/model.safetensors")));
        assert_eq!(Error::input("steps", 0, "1 to 9").help(), None);
    }
}
