"""Files that matter by their names, as data: secrets, and programs of the person's machine.

Both tables are documented in docs/repository.md. Patterns with a slash are compared with the whole
path, of secrets also with its end; others with the name of the file. Case is ignored. In a pattern,
`*` also matches a slash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def _table(patterns: dict[str, str]) -> dict[str, tuple[str, ...]]:
    return {kind: tuple(text.split()) for kind, text in patterns.items()}


# Patterns with a slash are compared with the end of the path, others with the name of the file.
WORDS = "words, but not for source code and prose"
SECRETS = _table(
    {
        "environment files": """
            .env* *.env .env/* .envs/* .flaskenv .renviron .dev.vars* env.local *.env.local
            env.prod env.production *.env.prod *.env.production env.stage env.staging
            *.env.stage *.env.staging env.dev env.development *.env.dev *.env.development
            env.test *.env.test
            local.settings.json appsettings.production.json local_settings.py settings_local.py
        """,
        "private keys": """
            *.pem *.key *.der *.p12 *.pfx *.pkcs12 *.pkcs8 *.p8 *.pk8 *.ppk *.snk *.keytab
            *.jks *.jceks *.bks *.keystore keystore.json utc--* wallet.dat *.wallet
            id_rsa* id_dsa* id_ecdsa* id_ed25519* id_ed448* *_rsa *_dsa *_ecdsa *_ed25519
            ssh_host_*_key .ssh/* .gnupg/* *private*.asc *secret*.asc age/keys.txt
        """,
        "credentials": """
            .netrc _netrc .git-credentials .pgpass pgpass.conf .my.cnf .mylogin.cnf
            .htpasswd htpasswd .passwd* .npmrc .pypirc pip.conf auth.json wp-config.php
            .dockercfg .dockerconfigjson .docker/config.json .s3cfg .boto .databrickscfg
            .aws/credentials .aws/config .config/gcloud/* .config/gh/hosts.yml
            .azure/accesstokens.json .azure/azureprofile.json .azure/msal_token_cache*
            .config/hub .config/glab-cli/* .config/doctl/* .fly/config.yml rclone.conf
            .credentials* *credentials*.json *credentials.csv *accesskeys.csv rootkey.csv
            *creds*.json *creds.y*ml *creds.txt client[_-]secret*.json
            service[_-]account*.json serviceaccount*.json *firebase-adminsdk*.json
            .kube/config *.kubeconfig talosconfig .vault-token
            .token key.json *[_-]key.json .*[_-]token kaggle.json google-services.json
            .cargo/credentials* .m2/settings.xml .gradle/gradle.properties .terraformrc terraform.rc
            .oci/config keystore.properties key.properties
            sftp.json sftp-config.json .ftpconfig sitemanager.xml recentservers.xml
            *.ovpn wg[0-9].conf *.mobileprovision logins.json key4.db cookies.txt
            cookies.sqlite *.har
        """,
        "stores of secrets": """
            secrets.py *secrets.h .secrets .secrets.* .secrets/* *.secret *.secrets .creds
            *[_-]secret.y*ml *[_-]secrets.y*ml *[_-]secrets.json
            *.kdbx *.kdb *.keychain *.keychain-db *.kwallet *.agilekeychain/* *.1pux
            *.gpg *.age .password-store/* master.key
            *.tfvars *.tfvars.json *.tfstate *.tfstate.*
        """,
        "histories and dumps": """
            .*_history .rhistory fish_history .histfile .viminfo .lesshst *.pcap *.hprof *.dmp
        """,
        WORDS: """
            secret secrets secret.* secrets.* secrets[_-]* secrets/* *credentials *credentials.txt
            credentials.* *vault[_-]pass* *secret[_-]key*
            *password *passwords *password.txt *passwords.txt password.* passwords.*
            *token *token.txt token.json token.y*ml oauth*token*.json access*token*.json
            auth*token*.json api[_-]key* apikey* *private[_-]key* *ssh[_-]key* deploy[_-]key*
            kubeconfig*
        """,
    }
)
# Templates and public halves, which are made to be shown.
HARMLESS = (
    *(".env.example", ".env.sample", ".env.template", ".env.dist", ".env.defaults", ".env.d.ts"),
    *("*.pub", "*.pub.asc", "*.example", "*.sample", "*.template", "*.tpl", "*.tmpl", "*.j2"),
    *("*.erb", "*.schema", "*keyring*.gpg", "keyrings/*"),
)
_CODE = re.compile(
    r".*\.(?:py|go|[cm]?[jt]sx?|java|kt|rs|rb|php|c|h|cc|cpp|hpp|cs|fs|swift|m|scala|exs?|erl|clj"
    r"|hs|ml|lua|pl|pm|r|jl|dart|vue|svelte|html?|s?css|less|svg|md|rst|adoc|tf|proto|graphql|sh)"
)
# The name of a copy: .server.key.swp, #server.key#, server.key~, server.key.bak.
_COPY = re.compile(
    r"\.(?P<swap>.+)\.sw[a-z]|#(?P<auto>.+)#"
    r"|(?P<plain>.+?)(?:~|\.(?:(?:bak|backup|old|orig|saved?|copy|tmp)\d*|disabled|txt|gz|zip"
    r"|\d[\d-]*))+"
)


class _Patterns(NamedTuple):
    """Patterns of names and of ends of paths, as two expressions: there may be 50,000 paths."""

    names: re.Pattern[str]
    paths: re.Pattern[str]

    @classmethod
    def of(cls, patterns: Sequence[str]) -> _Patterns:
        names = "|".join(translate(each) for each in patterns if "/" not in each)
        paths = "|".join(translate(f"*/{each}") for each in patterns if "/" in each)
        return cls(re.compile(names or "(?!)"), re.compile(paths or "(?!)"))

    def fits(self, folder: str, name: str) -> bool:
        return bool(self.names.match(name) or self.paths.match(f"/{folder}/{name}"))


_SECRETS = {kind: _Patterns.of(patterns) for kind, patterns in SECRETS.items()}
_HARMLESS = _Patterns.of(HARMLESS)


@dataclass(frozen=True)
class Decision:
    """The decision about each path: `open` has those that still wait, and stops the transfer.

    `left_out` has every path that stays here, also those that do not look like secrets; `unused`
    has the patterns that fit no path.
    """

    open: tuple[str, ...]
    included: tuple[str, ...]
    left_out: tuple[str, ...]
    unused: tuple[str, ...]


def looks_like_secret(path: str) -> bool:
    """Check whether the name of a file looks like a secret."""
    return kind_of_secret(path) != ""


def kind_of_secret(path: str) -> str:
    """Return the kind of secret that a path looks like, a key of `SECRETS`, or an empty string.

    A copy that an editor or a person has made counts as the original: `server.key.bak`.
    """
    folder, _, name = path.casefold().rpartition("/")
    copy = _COPY.fullmatch(name)
    names = [name, *filter(None, copy.groups() if copy else ())]
    if any(_HARMLESS.fits(folder, each) for each in names):
        return ""
    for kind, some in _SECRETS.items():
        if kind == WORDS and _CODE.fullmatch(name):
            continue
        if any(some.fits(folder, each) for each in names):
            return kind
    return ""


def decide(paths: Iterable[str], include: Sequence[str], leave_out: Sequence[str]) -> Decision:
    """Sort paths by the patterns of `--include` and `--leave-out`.

    A pattern is a path, a directory, or has `*`, `?` or `[…]`. Without a slash, it fits names in
    every directory; with one at its beginning, it starts at the top and its `*` matches no slash.
    `--leave-out` wins over `--include`.
    """
    undecided: list[str] = []
    included: list[str] = []
    left_out: list[str] = []
    used: set[str] = set()
    for path in paths:
        out = _matching(path, leave_out)
        into = _matching(path, include)
        used.update(out, into)
        if out:
            left_out.append(path)
        elif looks_like_secret(path):
            (included if into else undecided).append(path)
    unused = tuple(each for each in (*include, *leave_out) if each not in used)
    return Decision(tuple(undecided), tuple(included), tuple(left_out), unused)


def _matching(path: str, patterns: Sequence[str]) -> list[str]:
    return [each for each in patterns if _is_named(path, each.removeprefix("./").rstrip("/"))]


def _is_named(path: str, pattern: str) -> bool:
    if pattern.startswith("/"):
        names, patterns = path.split("/"), pattern[1:].split("/")
        pairs = zip(names, patterns, strict=False)  # the names may go on below a directory
        return len(names) >= len(patterns) and all(
            name == each or fnmatchcase(name, each) for name, each in pairs
        )
    return (
        path == pattern
        or path.startswith(f"{pattern}/")
        or fnmatchcase(path, pattern)
        or ("/" not in pattern and fnmatchcase(path.rpartition("/")[2], pattern))
    )


# What runs the files, and their patterns.
TABLE = _table(
    {
        "git, as hooks": """
            .githooks/* .husky/* hooks/* githooks/* .pre-commit-config.yaml
            lefthook.y*ml .lefthook.y*ml .overcommit.yml
        """,
        "git, as filters and submodules": ".gitattributes .gitmodules .lfsconfig",
        "the shell, on entering the directory": """
            .envrc .autoenv* .env .tool-versions mise.toml .mise*.toml .nvmrc
            .config/mise/* .config/mise.toml .mise/* shell.nix default.nix flake.nix
            devbox.json
        """,
        "an editor": """
            .vscode/* .idea/* *.code-workspace .zed/* .nvim/* .ycm_extra_conf.py
            .fleet/* .nova/* .vim/* .nvimrc .exrc .vimrc .nvim.lua .dir-locals.el
            .editorconfig .sublime-project *.sublime-project
        """,
        "a coding agent": """
            .claude/* .gemini/* .cursor/* .codex/* .windsurf/* .aider* .mcp.json
            claude.md gemini.md agents.md .cursorrules .github/copilot* .roo/*
            .clinerules* claude.local.md opencode.json* .opencode/*
        """,
        "continuous integration": """
            .github/workflows/* .github/actions/* .gitlab-ci.yml .circleci/*
            .travis.yml azure-pipelines*.yml jenkinsfile* .drone.yml .woodpecker*
            bitbucket-pipelines.yml cloudbuild*.yaml .buildkite/* appveyor.yml
            .tekton/* action.yml action.yaml
        """,
        "a build or a test run": """
            makefile* gnumakefile *.mk cmakelists.txt *.cmake meson.build configure*
            build.ninja justfile taskfile*.y*ml rakefile sconstruct sconscript build
            *.bazel *.bzl build.xml build.gradle* settings.gradle* gradlew* gradle/*
            pom.xml mvnw* .mvn/* *.csproj *.props *.targets *.sln build.rs cargo.toml
            .cargo/* go.mod *.gemspec gemfile* mix.exs build.zig dune* package.swift
            build.sbt project/*.sbt deps.edn project.clj stack.yaml conftest.py
            noxfile.py tox.ini setup.py setup.cfg pyproject.toml sitecustomize.py
            usercustomize.py *.pth tasks.py fabfile.py dodo.py pytest.ini manage.py
            .bazelrc workspace tiltfile gradle.properties gradle-wrapper.jar
            nuget.config .pylintrc .rubocop.yml .rspec
        """,
        "a package manager": """
            package.json package-lock.json npm-shrinkwrap.json yarn.lock
            pnpm-lock.yaml .npmrc .yarnrc* .yarn/* .pnpmfile.*js .pnp.*js bunfig.toml
            deno.json* lerna.json requirements*.txt constraints*.txt pipfile*
            poetry.lock uv.lock pip.conf cargo.lock go.sum composer.json composer.lock
            podfile* cartfile* .pypirc binding.gyp environment.y*ml conda*.y*ml
            brewfile
        """,
        "tools of JavaScript, on a build or in an editor": """
            *.config.js *.config.cjs *.config.mjs *.config.ts gruntfile.* gulpfile.*
            .eslintrc* .babelrc* .prettierrc* .mocharc* .stylelintrc* karma.conf.*
        """,
        "containers and machines": """
            dockerfile* *.dockerfile containerfile* docker-compose* compose.y*ml
            .devcontainer/* .devcontainer.json vagrantfile .gitpod.* *.tf
            skaffold.yaml procfile* *.service playbook*.y*ml ansible.cfg
        """,
        "a debugger or an interactive shell": ".gdbinit .lldbinit .irbrc .pryrc .pythonrc* .pdbrc",
        "you, as a program": "*.sh *.bash *.zsh *.fish *.ps1 *.bat *.cmd",
    }
)


class RunsLater(NamedTuple):
    """A changed path, and the program that runs it."""

    path: str
    runner: str


def runs_later(path: str, mode: str = "100644") -> str:
    """Return the kind of program that runs a file, a key of `TABLE`, or an empty string.

    A file of another name runs if its mode makes it a program.
    """
    folded = path.casefold()
    for runner, patterns in TABLE.items():
        if any(_may_run(folded, each) for each in patterns):
            return runner
    return "you, as a program" if mode == "100755" else ""


def _may_run(path: str, pattern: str) -> bool:
    """Compare a path with a pattern of `TABLE`; a hidden directory counts at any depth.

    A link may take the place of a directory.
    """
    if "/" not in pattern:
        return fnmatchcase(path.rpartition("/")[2], pattern)
    forms = (pattern, pattern.removesuffix("/*"))
    places = ("", "*/") if pattern.startswith(".") else ("",)
    return any(fnmatchcase(path, f"{place}{form}") for place in places for form in forms)


def find_runs_later(changes: Iterable[tuple[str, str]]) -> list[RunsLater]:
    """Return those of the changed paths, each with its mode, that run later."""
    found = (RunsLater(path, runs_later(path, mode)) for path, mode in changes)
    return [each for each in found if each.runner]
