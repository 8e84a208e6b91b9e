//! How much memory this process may still take.

use std::{fs, path::Path};

/// Bytes that are free for this process: the least of what the machine has available, what its control groups leave, and
/// what its limits on address space and data leave. None where the system does not tell, as on other systems than Linux.
pub fn free() -> Option<u64> {
    let machine = read("/proc/meminfo").and_then(|text| kilobytes(&text, "MemAvailable:"));
    let groups = read("/proc/self/cgroup")
        .into_iter()
        .flat_map(|text| text.lines().filter_map(group).collect::<Vec<_>>());
    let limits = read("/proc/self/limits").zip(read("/proc/self/status"));
    let limits = limits.into_iter().flat_map(|(limits, status)| {
        let left = |limit: &str, taken: &str| {
            Some(soft_limit(&limits, limit)?.saturating_sub(kilobytes(&status, taken)?))
        };
        [left("Max address space", "VmSize:"), left("Max data size", "VmData:")]
    });
    machine.into_iter().chain(groups).chain(limits.flatten()).min()
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// A line `MemAvailable:   123 kB`, in bytes.
fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// A line `Max address space   123   unlimited   bytes`.
fn soft_limit(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}

/// What a line of /proc/self/cgroup leaves, `4:memory:/a/b` or `0::/a/b`: the least of the group and those around it.
fn group(line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (kind, group) = (parts.next()?, parts.next()?);
    let (root, limit, taken, spare): (&str, &str, &str, &[&str]) = match kind {
        "" => (
            "/sys/fs/cgroup",
            "memory.max",
            "memory.current",
            &["inactive_file", "active_file", "slab_reclaimable"],
        ),
        "memory" => (
            "/sys/fs/cgroup/memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            &["total_inactive_file", "total_active_file"],
        ),
        _ => return None,
    };
    let left = |folder: &Path| {
        let folder = Path::new(root).join(folder);
        let number = |name: &str| read(folder.join(name))?.trim().parse::<u64>().ok();
        let stat = read(folder.join("memory.stat")).unwrap_or_default();
        // The kernel gives up what it only keeps of files.
        let taken = number(taken)?.saturating_sub(sum(&stat, spare));
        Some(number(limit)?.saturating_sub(taken))
    };
    // Inside a container the group is the root of what can be seen.
    let groups = Path::new(group.trim_start_matches('/')).ancestors();
    groups.filter_map(left).min()
}

/// The sum of these lines `inactive_file 123` of a memory.stat.
fn sum(stat: &str, keys: &[&str]) -> u64 {
    let rows = stat.lines().filter_map(|line| line.split_once(' '));
    rows.filter(|(key, _)| keys.contains(key)).filter_map(|(_, bytes)| bytes.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_linux_are_read() {
        let info = "MemTotal: 24000 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(kilobytes(info, "MemAvailable:"), Some(2 << 20));
        assert_eq!(kilobytes(info, "VmSize:"), None);
        let limits = "Limit    Soft Limit   Hard Limit   Units\nMax data size   unlimited   unlimited   bytes\n\
                      Max address space         2097152000           unlimited            bytes\n";
        assert_eq!(soft_limit(limits, "Max address space"), Some(2_097_152_000));
        assert_eq!(soft_limit(limits, "Max data size"), None);
        assert_eq!(group("1:cpu:/a"), None);
        let stat = "file 9\ninactive_file 1\nactive_file 2\ntotal_active_file 4\n";
        assert_eq!(sum(stat, &["inactive_file", "active_file", "slab_reclaimable"]), 3);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_free_is_less_than_what_there_is() {
        let total = kilobytes(&read("/proc/meminfo").unwrap(), "MemTotal:").unwrap();
        assert!((1..total).contains(&free().unwrap()));
    }
}
