//! The handler of illegal instructions that answers CPUID for a capped library.
//!
//! A fault is looked up in `/proc/self/maps` by system calls alone, which a handler may make: the
//! library's own constructors ask the CPU before anybody could tell where it lies.
#![allow(unsafe_code)] // a signal handler, and the registers of the interrupted code

use std::arch::x86_64::__cpuid_count;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

/// The copy and its sites.
struct Capped {
    path: Vec<u8>,
    sites: Vec<u64>,
}

static CAPPED: OnceLock<Capped> = OnceLock::new();

/// Puts the handler in place, once for the process.
///
/// # Errors
/// The system refuses it, or another library was capped before.
pub(super) fn install(copy: &Path, sites: &[u64]) -> Result<(), String> {
    let path = copy.as_os_str().as_bytes().to_vec();
    let capped = CAPPED.get_or_init(|| Capped { path: path.clone(), sites: sites.to_vec() });
    if capped.path != path {
        return Err("another library is capped in this process".to_string());
    }
    // SAFETY: an all-zero action is a valid one; the handler has the signature that SA_SIGINFO
    // asks for and uses nothing that a handler may not.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().to_string()) }
}

extern "C" fn handle(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands a `ucontext_t` of the interrupted code to an SA_SIGINFO handler,
    // and nobody else has it.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let at = |register: libc::c_int| register as usize;
    let place = registers[at(libc::REG_RIP)] as u64;
    // SAFETY: the address of this thread's error number, which the calls below may change and the
    // interrupted code may be about to read.
    let (number, before) = unsafe {
        let number = libc::__errno_location();
        (number, *number)
    };
    let ours = CAPPED.get().is_some_and(|capped| {
        offset_in(place, &capped.path).is_some_and(|o| capped.sites.binary_search(&o).is_ok())
    });
    // SAFETY: as above.
    unsafe { *number = before };
    if !ours {
        // SAFETY: sets the default and returns; the instruction faults again and the process dies
        // of it, as it would have without us.
        unsafe { libc::signal(libc::SIGILL, libc::SIG_DFL) };
        return;
    }
    let (leaf, sub) = (registers[at(libc::REG_RAX)] as u32, registers[at(libc::REG_RCX)] as u32);
    let found = __cpuid_count(leaf, sub);
    let [a, b, c, d] = masked(leaf, sub, [found.eax, found.ebx, found.ecx, found.edx]);
    for (register, value) in
        [(libc::REG_RAX, a), (libc::REG_RBX, b), (libc::REG_RCX, c), (libc::REG_RDX, d)]
    {
        registers[at(register)] = i64::from(value);
    }
    registers[at(libc::REG_RIP)] += 2;
}

/// Bits of leaf 7 that a CPU with AVX2 and nothing wider does not have (Intel, "Architecture
/// instruction set extensions programming reference", chapter 1): AVX-512, AVX-VNNI, AMX and what
/// came after them.
const SUBLEAF_0: [&[u32]; 4] =
    [&[], &[16, 17, 21, 26, 27, 28, 30, 31], &[1, 6, 11, 12, 14], &[2, 3, 8, 22, 23, 24, 25]];
const SUBLEAF_1: [&[u32]; 4] = [&[4, 5, 21, 23], &[], &[], &[4, 5, 8, 10, 19]];

fn masked(leaf: u32, sub: u32, mut registers: [u32; 4]) -> [u32; 4] {
    let hidden = match (leaf, sub) {
        (7, 0) => SUBLEAF_0,
        (7, 1) => SUBLEAF_1,
        _ => return registers,
    };
    for (register, bits) in registers.iter_mut().zip(hidden) {
        for bit in bits {
            *register &= !(1 << bit);
        }
    }
    registers
}

/// Longest line of `/proc/self/maps` that is looked at; the name of a copy is shorter.
const LINE: usize = 1024;

/// The offset in the file `path` of an address, if it is mapped from there.
fn offset_in(address: u64, path: &[u8]) -> Option<u64> {
    // SAFETY: a constant C string; open, read and close are calls that a handler may make.
    let file = unsafe { libc::open(c"/proc/self/maps".as_ptr(), libc::O_RDONLY) };
    if file < 0 {
        return None;
    }
    let (mut chunk, mut line, mut length, mut found) = ([0u8; 4096], [0u8; LINE], 0, None);
    loop {
        // SAFETY: the buffer is as long as is said.
        let read = unsafe { libc::read(file, chunk.as_mut_ptr().cast(), chunk.len()) };
        if read <= 0 {
            break;
        }
        for byte in &chunk[..read as usize] {
            if *byte == b'\n' {
                found = found.or_else(|| in_line(&line[..length], address, path));
                length = 0;
            } else if length < LINE {
                line[length] = *byte;
                length += 1;
            }
        }
    }
    // SAFETY: opened above.
    unsafe { libc::close(file) };
    found
}

/// The same for one line: `start-end perms offset dev inode path`.
fn in_line(line: &[u8], address: u64, path: &[u8]) -> Option<u64> {
    // The name begins behind spaces, and is the only part with a slash.
    let name = line.get(line.iter().position(|b| *b == b'/')?..)?;
    if name != path {
        return None;
    }
    let dash = line.iter().position(|b| *b == b'-')?;
    let space = line.iter().position(|b| *b == b' ')?;
    let (start, end) = (hex(line.get(..dash)?)?, hex(line.get(dash + 1..space)?)?);
    let offset = line.get(space + 1..)?.split(|b| *b == b' ').nth(1)?;
    (start..end).contains(&address).then_some(())?;
    Some(address - start + hex(offset)?)
}

fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |sum, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        sum.checked_mul(16)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_instructions_are_hidden_and_nothing_else() {
        let all = [u32::MAX; 4];
        assert_eq!(masked(1, 0, all), all);
        let [a, b, _, d] = masked(7, 0, all);
        assert_eq!((a, b & (1 << 16), b & (1 << 5), d & (1 << 25)), (u32::MAX, 0, 1 << 5, 0));
        assert_eq!(masked(7, 1, all)[0] & (1 << 4), 0);
    }

    #[test]
    fn an_address_is_found_in_its_own_file_alone() {
        let line = b"7f00-7f80 r-xp 00001000 fd:00 77   /a/lib.so";
        assert_eq!(in_line(line, 0x7f10, b"/a/lib.so"), Some(0x1010));
        assert_eq!(in_line(line, 0x7f80, b"/a/lib.so"), None);
        assert_eq!(in_line(line, 0x7f10, b"/b/lib.so"), None);
        assert_eq!(in_line(line, 0x7f10, b"/lib.so"), None);
        assert_eq!(in_line(b"", 0, b""), None);
        let own = std::env::current_exe().unwrap();
        let here = masked as *const () as u64;
        assert!(offset_in(here, own.as_os_str().as_bytes()).is_some());
    }

    /// Not a test by itself: an illegal instruction that is not ours, with the handler in place.
    #[test]
    fn child() {
        if std::env::var_os("QUANTBENCH_TEST_DIE").is_some() {
            install(Path::new("/no/such/copy.so"), &[0x1000]).unwrap();
            // SAFETY: it ends the process, which is what the parent waits for.
            unsafe { std::arch::asm!("ud2") };
        }
    }

    #[test]
    fn an_illegal_instruction_elsewhere_still_kills() {
        use std::os::unix::process::ExitStatusExt;
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cap::handler::tests::child", "--nocapture"])
            .env("QUANTBENCH_TEST_DIE", "1")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.signal(), Some(libc::SIGILL));
    }
}
