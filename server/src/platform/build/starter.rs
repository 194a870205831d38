//! The bundled starter agent, for agents that have neither a repository nor uploaded code.

use std::fs;
use std::path::Path;

use crate::objects::ObjectError;

const FILES: [(&str, &str); 3] = [
    (
        "castari.json",
        include_str!("../../../../assets/starter-agent/castari.json"),
    ),
    (
        "package.json",
        include_str!("../../../../assets/starter-agent/package.json"),
    ),
    (
        "src/index.mjs",
        include_str!("../../../../assets/starter-agent/src/index.mjs"),
    ),
];

/// Writes the starter agent into an empty directory.
pub(super) fn write(into: &Path) -> Result<(), ObjectError> {
    for (name, content) in FILES {
        let path = into.join(name);
        let parent = path.parent().unwrap_or(into);
        fs::create_dir_all(parent).map_err(ObjectError::file("make", parent))?;
        fs::write(&path, content).map_err(ObjectError::file("write", &path))?;
    }
    Ok(())
}
