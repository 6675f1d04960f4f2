//! What a command may reach: Landlock, a Linux facility by which a thread gives up access rights
//! for itself and for all that it starts.
//!
//! Rights are lists of folders that are allowed, from which those with data are cut out: a folder
//! that holds one is replaced by what else it holds.

use std::path::{Path, PathBuf};

use crate::external::Launch;

/// Programs, libraries and their settings, devices that give or take nothing of value, and facts
/// about the machine.
const SYSTEM: [&str; 15] = [
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/usr",
    "/etc",
    "/nix/store",
    "/proc",
    "/sys",
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

/// Devices that may be written to.
const SINKS: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/full"];

/// What a command may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Allowed {
    /// Files and folders to read and run.
    pub(super) read: Vec<PathBuf>,
    /// Folders whose files may be named but not read: Python looks for modules beside a script.
    pub(super) list: Vec<PathBuf>,
    /// Folders in which everything is allowed, and devices to write to.
    pub(super) write: Vec<PathBuf>,
}

impl Allowed {
    /// What a command may reach that works in `folder`; nothing below `guarded` but what its card
    /// names.
    ///
    /// # Errors
    /// The card asks to read a guarded folder, in words.
    pub(super) fn of(
        launch: &Launch,
        program: &Path,
        folder: &Path,
        guarded: &[PathBuf],
    ) -> Result<Self, String> {
        let guarded: Vec<PathBuf> = guarded.iter().filter_map(|g| g.canonicalize().ok()).collect();
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        for path in &launch.reads {
            let path = real(path);
            if let Some(folder) = guarded.iter().find(|g| path.starts_with(g)) {
                return Err(format!(
                    "the card of {} asks to read {}, which lies in {}: data, caches and run folders \
                     are not granted; calibration images come as calibration.npy",
                    launch.name,
                    path.display(),
                    folder.display()
                ));
            }
        }
        let mut read: Vec<PathBuf> = Vec::new();
        let system = SYSTEM.iter().map(PathBuf::from);
        let whole = system.chain(installation(&real(program))).chain(launch.reads.iter().cloned());
        for path in whole {
            without(&real(&path), &guarded, &mut read);
        }
        // What a card names by itself may lie in a data folder: a repository below one, say.
        read.extend(launch.environment.iter().chain(&launch.files).map(|path| real(path)));
        read.extend([program.to_path_buf(), real(program)]);
        let beside =
            launch.files.iter().filter_map(|file| real(file).parent().map(Path::to_path_buf));
        let list = beside.filter(|folder| !guarded.iter().any(|g| g.starts_with(folder))).collect();
        let sinks = SINKS.iter().map(PathBuf::from);
        Ok(Self { read, list, write: sinks.chain([real(folder)]).collect() })
    }
}

/// The folder that a program is installed in: the one above its `bin`.
fn installation(program: &Path) -> Option<PathBuf> {
    let folder = program.parent()?;
    let is_bin = ["bin", "sbin", "shims"].iter().any(|name| folder.ends_with(name));
    // The root itself holds everything; its parts that matter are in the list of the system.
    let above = folder.parent().filter(|above| is_bin && above.parent().is_some());
    above.map(Path::to_path_buf)
}

/// Adds `path`, or the parts of it that hold nothing guarded.
fn without(path: &Path, guarded: &[PathBuf], out: &mut Vec<PathBuf>) {
    if guarded.iter().any(|g| path.starts_with(g)) {
        return;
    }
    if !guarded.iter().any(|g| g.starts_with(path)) {
        out.push(path.to_path_buf());
        return;
    }
    let Ok(entries) = std::fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        // A link leads to a place that is allowed by itself, or not at all.
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            without(&entry.path(), guarded, out);
        }
    }
}

/// Confines this thread and all that it starts from now on; there is no way back.
///
/// Gives the name of the means, `none` where the system has none.
#[cfg(target_os = "linux")]
pub(super) fn enter(allowed: &Allowed) -> Result<&'static str, String> {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
        RulesetStatus, Scope, path_beneath_rules,
    };
    // Rights that the kernel does not know are left out: files came first, then TCP, then signals.
    let abi = ABI::V6;
    let restrict = || -> Result<RulesetStatus, RulesetError> {
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?
            .add_rules(path_beneath_rules(&allowed.read, AccessFs::from_read(abi)))?
            .add_rules(path_beneath_rules(&allowed.list, AccessFs::ReadDir))?
            .add_rules(path_beneath_rules(&allowed.write, AccessFs::from_all(abi)))?
            .restrict_self()?;
        Ok(status.ruleset)
    };
    match restrict() {
        Ok(RulesetStatus::NotEnforced) => Ok("none"),
        Ok(_) => Ok("landlock"),
        Err(error) => Err(error.to_string()),
    }
}

/// Other systems have no such means that needs no privileges.
#[cfg(not(target_os = "linux"))]
pub(super) fn enter(_allowed: &Allowed) -> Result<&'static str, String> {
    Ok("none")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(reads: &[&Path]) -> Launch {
        Launch {
            name: "mine".into(),
            command: vec!["sh".into()],
            files: vec![],
            environment: None,
            reads: reads.iter().map(|p| p.to_path_buf()).collect(),
            timeout_s: 1,
            setup: None,
        }
    }

    #[test]
    fn a_folder_with_data_inside_is_replaced_by_what_else_it_holds() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for folder in ["tools/bin", "tools/lib", "tools/share/data", "tools/share/doc"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let program = root.join("tools/bin/quantize");
        std::fs::write(&program, "").unwrap();
        let guarded = [root.join("tools/share/data")];
        let work = root.join("work");
        let allowed = Allowed::of(&launch(&[]), &program, &work, &guarded).unwrap();
        let inside: Vec<&PathBuf> =
            allowed.read.iter().filter(|p| p.starts_with(root.join("tools"))).collect();
        for expected in ["tools/bin", "tools/lib", "tools/share/doc"] {
            assert!(inside.contains(&&root.join(expected)), "{expected} in {inside:?}");
        }
        assert!(!inside.iter().any(|p| guarded[0].starts_with(p)), "{inside:?}");
        assert!(allowed.write.contains(&work));
    }

    #[test]
    fn a_card_cannot_ask_for_data() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        std::fs::create_dir_all(data.join("images")).unwrap();
        let wish = data.join("images");
        let asked = launch(&[&wish]);
        let error = Allowed::of(&asked, Path::new("/bin/sh"), root.path(), &[data]).unwrap_err();
        assert!(error.starts_with("the card of mine asks to read"), "{error}");
    }
}
