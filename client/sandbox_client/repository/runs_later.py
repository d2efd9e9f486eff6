"""Files that run, or decide what runs, on the person's machine after work was merged, as data.

The table is documented in docs/repository.md. Patterns with a slash are compared with the whole
path, others with the name of the file; case is ignored. In a pattern, `*` also matches a slash.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

# What runs the files, and their patterns.
TABLE: dict[str, tuple[str, ...]] = {
    "git, as hooks": (
        *(".githooks/*", "*/.githooks/*", ".husky/*", "*/.husky/*", "hooks/*", "githooks/*"),
        *(".pre-commit-config.yaml", "lefthook.y*ml", ".lefthook.y*ml", ".overcommit.yml"),
    ),
    "git, as filters and submodules": (".gitattributes", ".gitmodules", ".lfsconfig"),
    "the shell, on entering the directory": (
        *(".envrc", ".autoenv*", ".env", ".tool-versions", "mise.toml", ".mise*.toml", ".nvmrc"),
        *("shell.nix", "default.nix", "flake.nix", "devbox.json"),
    ),
    "an editor": (
        *(".vscode/*", "*/.vscode/*", ".idea/*", "*/.idea/*", "*.code-workspace", ".zed/*"),
        *(
            ".fleet/*",
            ".nova/*",
            ".vim/*",
            ".nvimrc",
            ".exrc",
            ".vimrc",
            ".nvim.lua",
            ".dir-locals.el",
        ),
        *(".editorconfig", ".sublime-project", "*.sublime-project"),
    ),
    "a coding agent": (
        *(".claude/*", ".gemini/*", ".cursor/*", ".codex/*", ".windsurf/*", ".aider*", ".mcp.json"),
        *("claude.md", "gemini.md", "agents.md", ".cursorrules", ".github/copilot*"),
    ),
    "continuous integration": (
        *(
            ".github/workflows/*",
            ".github/actions/*",
            ".gitlab-ci.yml",
            ".circleci/*",
            ".travis.yml",
        ),
        *(
            "azure-pipelines*.yml",
            "jenkinsfile*",
            ".drone.yml",
            ".woodpecker*",
            "bitbucket-pipelines.yml",
        ),
        *(
            "cloudbuild*.yaml",
            ".buildkite/*",
            "appveyor.yml",
            ".tekton/*",
            "action.yml",
            "action.yaml",
        ),
    ),
    "a build or a test run": (
        *(
            "makefile*",
            "gnumakefile",
            "*.mk",
            "cmakelists.txt",
            "*.cmake",
            "meson.build",
            "configure*",
        ),
        *(
            "build.ninja",
            "justfile",
            "taskfile*.y*ml",
            "rakefile",
            "sconstruct",
            "sconscript",
            "build",
        ),
        *(
            "*.bazel",
            "*.bzl",
            "build.xml",
            "build.gradle*",
            "settings.gradle*",
            "gradlew*",
            "gradle/*",
        ),
        *("pom.xml", "mvnw*", ".mvn/*", "*.csproj", "*.props", "*.targets", "*.sln", "build.rs"),
        *(
            "cargo.toml",
            ".cargo/*",
            "go.mod",
            "*.gemspec",
            "gemfile*",
            "mix.exs",
            "build.zig",
            "dune*",
        ),
        *("package.swift", "build.sbt", "project/*.sbt", "deps.edn", "project.clj", "stack.yaml"),
        *("conftest.py", "noxfile.py", "tox.ini", "setup.py", "setup.cfg", "pyproject.toml"),
        *("sitecustomize.py", "usercustomize.py", "*.pth", "tasks.py", "fabfile.py", "dodo.py"),
        *("pytest.ini", "manage.py"),
    ),
    "a package manager": (
        *(
            "package.json",
            "package-lock.json",
            "npm-shrinkwrap.json",
            "yarn.lock",
            "pnpm-lock.yaml",
        ),
        *(
            ".npmrc",
            ".yarnrc*",
            ".yarn/*",
            ".pnpmfile.*js",
            "bunfig.toml",
            "deno.json*",
            "lerna.json",
        ),
        *(
            "requirements*.txt",
            "constraints*.txt",
            "pipfile*",
            "poetry.lock",
            "uv.lock",
            "pip.conf",
        ),
        *("cargo.lock", "go.sum", "composer.json", "composer.lock", "podfile*", "cartfile*"),
        *(".pypirc", "binding.gyp", "environment.y*ml", "conda*.y*ml", "brewfile"),
    ),
    "tools of JavaScript, on a build or in an editor": (
        *(
            "*.config.js",
            "*.config.cjs",
            "*.config.mjs",
            "*.config.ts",
            "gruntfile.*",
            "gulpfile.*",
        ),
        *(".eslintrc*", ".babelrc*", ".prettierrc*", ".mocharc*", ".stylelintrc*", "karma.conf.*"),
    ),
    "containers and machines": (
        *("dockerfile*", "*.dockerfile", "containerfile*", "docker-compose*", "compose.y*ml"),
        *(
            ".devcontainer/*",
            ".devcontainer.json",
            "vagrantfile",
            ".gitpod.*",
            "*.tf",
            "skaffold.yaml",
        ),
        *("procfile*", "*.service", "playbook*.y*ml", "ansible.cfg"),
    ),
    "the person, as a program": ("*.sh", "*.bash", "*.zsh", "*.fish", "*.ps1", "*.bat", "*.cmd"),
}


class RunsLater(NamedTuple):
    """A changed path, and what runs it."""

    path: str
    runner: str


def runs_later(path: str, mode: str = "100644") -> str:
    """Return what runs a file, a key of `TABLE`, or an empty string.

    A file that has no such name runs if its mode makes it a program.
    """
    folded = path.casefold()
    name = folded.rpartition("/")[2]
    for runner, patterns in TABLE.items():
        if any(fnmatchcase(folded if "/" in each else name, each) for each in patterns):
            return runner
    return "the person, as a program" if mode == "100755" else ""


def find_runs_later(changes: Iterable[tuple[str, str]]) -> list[RunsLater]:
    """Return those of the changed paths, each with its mode, that run later."""
    found = (RunsLater(path, runs_later(path, mode)) for path, mode in changes)
    return [each for each in found if each.runner]
