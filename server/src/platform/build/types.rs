//! TypeScript: stripped of its types, so that plain node runs it.
//!
//! The sources are somebody else's and a parser that recurses can be made to overflow its stack. So this runs as a
//! program of its own inside the build's sandbox: this program again, with [`STRIP_ARGUMENT`].

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use oxc::allocator::{Allocator, FromIn};
use oxc::ast::ast::{
    ExportAllDeclaration, ExportFromDeclaration, Expression, ImportDeclaration, ImportExpression, StringLiteral,
};
use oxc::ast_visit::{VisitMut, walk_mut};
use oxc::codegen::Codegen;
use oxc::parser::Parser;
use oxc::semantic::SemanticBuilder;
use oxc::span::SourceType;
use oxc::str::Str;
use oxc::transformer::{TransformOptions, Transformer};

use super::{BuildError, Tree};

/// The argument that makes this program a type stripper; behind it stand the folder and the entry point in it.
pub const STRIP_ARGUMENT: &str = "strip-types";

/// The first version of tsx that node can import.
const IMPORTABLE_TSX: u64 = 4;

/// How a typed file is told, and what its stripped form is called.
const TYPED: [&str; 4] = ["ts", "tsx", "mts", "cts"];

/// Whether the project brings a tsx that node can import.
pub(super) fn has_own_runner(tree: &Tree) -> Result<bool, BuildError> {
    let package = tree.text("node_modules/tsx/package.json", 1 << 20)?;
    let package: Option<serde_json::Value> = package.and_then(|text| serde_json::from_str(&text).ok());
    let version = package
        .as_ref()
        .and_then(|package| package.get("version")?.as_str()?.split('.').next()?.parse().ok());
    Ok(version.is_some_and(|major: u64| major >= IMPORTABLE_TSX))
}

/// What to say of a stripping that failed, from what it said.
pub(super) fn failure(stderr: &str) -> BuildError {
    let reason = stderr.trim();
    let reason = if reason.is_empty() {
        "the type stripper ended early"
    } else {
        reason
    };
    BuildError::Failed(format!("The TypeScript cannot be run: {reason}"))
}

/// Strips every typed file of a folder, prints on stdout what the entry point became, and on stderr what is wrong.
#[must_use]
pub fn strip_types(folder: &Path, entrypoint: &Path) -> ExitCode {
    let stripped = Project::find(folder).and_then(|project| project.strip(entrypoint));
    match stripped {
        Ok(entrypoint) => {
            let _ = writeln!(io::stdout(), "{}", entrypoint.display());
            ExitCode::SUCCESS
        }
        Err(reason) => {
            let _ = writeln!(io::stderr(), "{reason}");
            ExitCode::FAILURE
        }
    }
}

/// A folder's typed files and what they become. Paths are from the folder.
struct Project<'a> {
    folder: &'a Path,
    typed: BTreeMap<PathBuf, PathBuf>,
}

impl<'a> Project<'a> {
    fn find(folder: &'a Path) -> Result<Self, String> {
        let mut project = Self {
            folder,
            typed: BTreeMap::new(),
        };
        project.find_in(Path::new(""))?;
        Ok(project)
    }

    fn find_in(&mut self, dir: &Path) -> Result<(), String> {
        let failed = |error: io::Error| format!("cannot list {}: {error}", dir.display());
        for entry in fs::read_dir(self.folder.join(dir)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let path = dir.join(entry.file_name());
            if kind.is_dir() && entry.file_name() != "node_modules" {
                self.find_in(&path)?;
            } else if kind.is_file() && is_typed(&path) {
                let stripped = self.stripped_name(&path)?;
                self.typed.insert(path, stripped);
            }
        }
        Ok(())
    }

    /// A name that says how node is to read the file: `.mjs` for what imports or exports, else `.cjs`.
    fn stripped_name(&self, path: &Path) -> Result<PathBuf, String> {
        let extension = match extension(path) {
            "mts" => "mjs",
            "cts" => "cjs",
            _ => {
                let source = self.read(path)?;
                let allocator = Allocator::default();
                let parsed = Parser::new(&allocator, &source, source_type(path)).parse();
                if parsed.module_record.has_module_syntax {
                    "mjs"
                } else {
                    "cjs"
                }
            }
        };
        let stripped = path.with_extension(extension);
        if self.folder.join(&stripped).exists() {
            return Err(format!("{} would overwrite {}", path.display(), stripped.display()));
        }
        Ok(stripped)
    }

    fn read(&self, path: &Path) -> Result<String, String> {
        fs::read_to_string(self.folder.join(path)).map_err(|error| format!("cannot read {}: {error}", path.display()))
    }

    fn strip(&self, entrypoint: &Path) -> Result<PathBuf, String> {
        for (path, stripped) in &self.typed {
            let code = self.strip_file(path)?;
            fs::write(self.folder.join(stripped), code)
                .map_err(|error| format!("cannot write {}: {error}", stripped.display()))?;
        }
        let entrypoint = self
            .typed
            .get(entrypoint)
            .ok_or("the entry point is no TypeScript file")?;
        Ok(entrypoint.clone())
    }

    fn strip_file(&self, path: &Path) -> Result<String, String> {
        let source = self.read(path)?;
        let allocator = Allocator::default();
        let mut parsed = Parser::new(&allocator, &source, source_type(path)).parse();
        if let Some(fault) = parsed.diagnostics.first() {
            return Err(format!("{}: {fault}", path.display()));
        }
        let scoping = SemanticBuilder::new()
            .with_excess_capacity(2.0)
            .with_enum_eval(true)
            .build(&parsed.program)
            .semantic
            .into_scoping();
        let options = TransformOptions::default();
        let transformed = Transformer::new(&allocator, path, &options).build_with_scoping(scoping, &mut parsed.program);
        if let Some(fault) = transformed.diagnostics.first() {
            return Err(format!("{}: {fault}", path.display()));
        }
        let mut imports = Imports {
            project: self,
            dir: path.parent().unwrap_or(Path::new("")),
            allocator: &allocator,
        };
        imports.visit_program(&mut parsed.program);
        Ok(Codegen::new().build(&parsed.program).code)
    }

    /// What a relative import of a typed file is to say once that file is stripped. TypeScript lets it name the file
    /// with its own ending, with the ending of its stripped form, with none, or by its folder.
    fn rewrite(&self, dir: &Path, specifier: &str) -> Option<String> {
        if !specifier.starts_with("./") && !specifier.starts_with("../") && !matches!(specifier, "." | "..") {
            return None;
        }
        let target = normalize(&dir.join(specifier))?;
        let of_stripped = match extension(&target) {
            "js" => &["ts", "tsx"][..],
            "mjs" => &["mts"],
            "cjs" => &["cts"],
            _ => &[],
        };
        let as_stripped = of_stripped.iter().map(|typed| target.with_extension(typed));
        let without = TYPED
            .iter()
            .map(|typed| PathBuf::from(format!("{}.{typed}", target.display())));
        let as_folder = TYPED.iter().map(|typed| target.join(format!("index.{typed}")));
        let candidates = std::iter::once(target.clone())
            .chain(as_stripped)
            .chain(without)
            .chain(as_folder);
        if self.folder.join(&target).is_file() && !is_typed(&target) {
            return None;
        }
        let stripped = candidates
            .into_iter()
            .find_map(|candidate| self.typed.get(&candidate))?;
        Some(relative(dir, stripped))
    }
}

fn extension(path: &Path) -> &str {
    path.extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default()
}

/// Whether a file has types to strip. Declarations are nothing but types.
fn is_typed(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_declaration = [".d.ts", ".d.mts", ".d.cts"]
        .iter()
        .any(|ending| name.ends_with(ending));
    TYPED.contains(&extension(path)) && !is_declaration
}

fn source_type(path: &Path) -> SourceType {
    SourceType::from_path(path).unwrap_or_else(|_| SourceType::ts())
}

/// A path without `.` and `..`; `None` where it leaves the folder.
fn normalize(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(step) => clean.push(step),
            Component::CurDir => {}
            Component::ParentDir => {
                if !clean.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// How a file in `dir` names `target`, both from the project's folder.
fn relative(dir: &Path, target: &Path) -> String {
    let shared = dir
        .components()
        .zip(target.components())
        .take_while(|(one, other)| one == other)
        .count();
    let up = dir.components().count() - shared;
    let rest: PathBuf = target.components().skip(shared).collect();
    let prefix = if up == 0 { "./".to_owned() } else { "../".repeat(up) };
    format!("{prefix}{}", rest.display())
}

/// Rewrites the imports of a file.
struct Imports<'a, 'p> {
    project: &'p Project<'p>,
    dir: &'p Path,
    allocator: &'a Allocator,
}

impl<'a> Imports<'a, '_> {
    fn rewrite(&self, literal: &mut StringLiteral<'a>) {
        if let Some(specifier) = self.project.rewrite(self.dir, literal.value.as_str()) {
            literal.value = Str::from_in(specifier, self.allocator);
            literal.raw = None;
        }
    }
}

impl<'a> VisitMut<'a> for Imports<'a, '_> {
    fn visit_import_declaration(&mut self, import: &mut ImportDeclaration<'a>) {
        self.rewrite(&mut import.source);
    }

    fn visit_export_from_declaration(&mut self, export: &mut ExportFromDeclaration<'a>) {
        self.rewrite(&mut export.source);
    }

    fn visit_export_all_declaration(&mut self, export: &mut ExportAllDeclaration<'a>) {
        self.rewrite(&mut export.source);
    }

    fn visit_import_expression(&mut self, import: &mut ImportExpression<'a>) {
        match &mut import.source {
            Expression::StringLiteral(source) => self.rewrite(source),
            _ => walk_mut::walk_import_expression(self, import),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Strips a folder of these files and gives back what the one asked for became.
    fn stripped(files: &[(&str, &str)], wanted: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let project = Project::find(folder.path())?;
        project.strip(Path::new(files[0].0))?;
        Ok(fs::read_to_string(folder.path().join(wanted)).unwrap())
    }

    #[test]
    fn types_go_and_code_stays() {
        let source = "import type { A } from './a';\nenum E { X = 1, Y }\nconst n: number = E.Y as number;\nconsole.log(n!);\nexport {};\n";
        let code = stripped(
            &[("index.ts", source), ("a.ts", "export interface A { x: 1 }")],
            "index.mjs",
        )
        .unwrap();
        assert!(!code.contains("number") && !code.contains("import"), "{code}");
        assert!(code.contains("console.log(n)"), "{code}");
    }

    #[test]
    fn imports_follow_the_files() {
        let files = [
            (
                "src/index.ts",
                "import { a } from './a';\nimport b from '../lib/b.js';\nimport { c } from './c';\nimport fs from 'node:fs';\nimport d from './d.js';\nconst e = await import('./e.ts');\nconsole.log(a, b, c, fs, d, e);",
            ),
            ("src/a.ts", "export const a = 1;"),
            ("lib/b.ts", "export default 2;"),
            ("src/c/index.ts", "export const c = 3;"),
            ("src/d.js", "export default 4;"),
            ("src/e.ts", "export const e = 5;"),
        ];
        let code = stripped(&files, "src/index.mjs").unwrap();
        for import in [
            "\"./a.mjs\"",
            "\"../lib/b.mjs\"",
            "\"./c/index.mjs\"",
            "\"node:fs\"",
            "\"./d.js\"",
            "\"./e.mjs\"",
        ] {
            assert!(code.contains(import), "{import} in {code}");
        }
    }

    #[test]
    fn a_fault_names_its_file() {
        let error = stripped(&[("index.ts", "const = ;")], "index.mjs").unwrap_err();
        assert!(error.starts_with("index.ts: "), "{error}");
    }
}
