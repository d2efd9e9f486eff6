"""Files whose names look like secrets, and the decision of the person about each of them, pure.

A name is compared without regard to case. `SECRETS` is documented in docs/repository.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Patterns with a slash are compared with the end of the path, others with the name of the file.
SECRETS: dict[str, tuple[str, ...]] = {
    "environment files": (".env*", "*.env", ".flaskenv"),
    "private keys": (
        *("*.pem", "*.key", "*.p12", "*.pfx", "*.pkcs12", "*.ppk", "*.p8", "*.jks", "*.keystore"),
        *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".ssh/*"),
    ),
    "credentials": (
        *(".netrc", "_netrc", ".git-credentials", ".pgpass", ".my.cnf", ".htpasswd"),
        *(".npmrc", ".yarnrc.yml", ".pypirc", ".dockercfg", ".docker/config.json", ".s3cfg"),
        *(
            ".boto",
            ".aws/credentials",
            ".aws/config",
            ".azure/*",
            ".config/gcloud/*",
            "rclone.conf",
        ),
        *("credentials", "credentials.*", "*credentials.json", "client_secret*.json"),
        *("service-account*.json", "service_account*.json", "kubeconfig*", ".kube/config"),
        *(".vault-token", "vault-password*", ".vault_pass*", ".cargo/credentials*", "auth.json"),
        *("google-services.json", "*.ovpn", "*.mobileprovision", ".terraformrc"),
    ),
    "stores of secrets": (
        *("secret", "secrets", "secret.*", "secrets.*", "*.secret", "*.secrets", "passwords.*"),
        *("*.kdbx", "*.kdb", "*.keychain", "*.gpg", "*.age", ".password-store/*"),
        *("*.tfvars", "*.tfvars.json", "*.tfstate", "*.tfstate.*", "master.key"),
    ),
    "histories and dumps": (".bash_history", ".zsh_history", ".psql_history", "*.pcap"),
}
# Templates and public halves, which are made to be shown.
HARMLESS = (
    *(".env.example", ".env.sample", ".env.template", ".env.dist", ".env.defaults"),
    *("id_*.pub", "*.example", "*.sample", "*.template"),
)


@dataclass(frozen=True)
class Decision:
    """What the person has decided: `open` waits for a decision and stops the transfer.

    `left_out` has every path that stays here, also those that do not look like secrets;
    `unused` has the patterns that met no path.
    """

    open: tuple[str, ...]
    included: tuple[str, ...]
    left_out: tuple[str, ...]
    unused: tuple[str, ...]


def looks_like_secret(path: str) -> bool:
    """Check whether the name of a file looks like a secret."""
    return kind_of_secret(path) != ""


def kind_of_secret(path: str) -> str:
    """Return the kind of secret that a path looks like, a key of `SECRETS`, or an empty string."""
    folded = path.casefold()
    if any(_fits(folded, pattern) for pattern in HARMLESS):
        return ""
    kinds = (
        kind for kind, patterns in SECRETS.items() if any(_fits(folded, each) for each in patterns)
    )
    return next(kinds, "")


def decide(paths: Iterable[str], include: Sequence[str], leave_out: Sequence[str]) -> Decision:
    """Sort paths by the patterns of `--include` and `--leave-out`.

    A pattern is a path, a directory, or has `*`, `?` or `[…]`. `--leave-out` wins over `--include`.
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
    return (
        path == pattern
        or path.startswith(f"{pattern}/")
        or fnmatchcase(path, pattern)
        or ("/" not in pattern and fnmatchcase(path.rpartition("/")[2], pattern))
    )


def _fits(path: str, pattern: str) -> bool:
    if "/" in pattern:
        return fnmatchcase(path, pattern) or fnmatchcase(path, f"*/{pattern}")
    return fnmatchcase(path.rpartition("/")[2], pattern)
