//! What is in this process's memory stays there: keys and tokens are in it.

use rustix::process::Resource;
use rustix::process::Rlimit;
use std::io;

/// From here on the kernel writes no core dump of this process, and nobody but the superuser may look into it.
pub(super) fn keep_private() -> io::Result<()> {
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // A pipe in /proc/sys/kernel/core_pattern takes no notice of the limit.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::process::DumpableBehavior;

    #[test]
    fn no_core_dump_is_written_of_a_process_with_keys() {
        keep_private().unwrap();
        assert_eq!(rustix::process::getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
