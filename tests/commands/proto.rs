//! The contract, written by the program.

use crate::process::program;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Every file below `root`, by its name there.
fn files(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn what_is_written_is_the_contract_whole_and_to_the_letter() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("new/proto");
    for _ in 0..2 {
        let ended = program("proto --out").arg(&out).run();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
        let written = files(&out);
        assert_eq!(written, files(Path::new("proto")));
        assert_eq!(ended.stdout.lines().count(), written.len());
        // What is there of an older version is replaced.
        fs::write(out.join("ocibackup/v1/backup.proto"), "an older version").unwrap();
    }
}

#[test]
fn a_place_where_nothing_can_be_written_is_named_and_left_as_it_is() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("taken");
    fs::write(&file, "a file").unwrap();
    let ended = program("proto --out").arg(&file).run();
    let line = ended.refusal(1);
    assert!(line.contains("taken/ocibackup/v1/") && line.contains("cannot be written"), "{line}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "a file");
    assert!(program("proto").run().refusal(2).contains("--out"));
}
