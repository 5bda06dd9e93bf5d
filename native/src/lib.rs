//! What decoding does most of its time, for `cdc_merge/native/`: where records end, the texts at JSON pointers of
//! many lines, the newest change of each key, and typed values made plain. Texts are laid out as Arrow has them.
//!
//! All of that is done without unsafe code. Here is what Python calls through the C
//! ABI. Where something goes wrong inside, the call says so by what it
//! returns, and the caller lets DuckDB do the work. Only where the system has no more memory the process ends.

#[forbid(unsafe_code)]
pub mod changes;
#[forbid(unsafe_code)]
pub mod framing;
#[forbid(unsafe_code)]
pub mod json;
#[forbid(unsafe_code)]
pub mod look;
#[forbid(unsafe_code)]
pub mod plain;
#[forbid(unsafe_code)]
pub mod text;

mod calls;
