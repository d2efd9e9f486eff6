"""The scripts that run in a sandbox: look at it, receive a bundle, export the work; pure.

Each function returns a command line of `sh`; a path that begins with `~/` is below HOME. A script
prints one JSON object as its last line, which `sandbox_answers` reads. It has no file names, which
may hold any character. The sandbox's git runs with the agent's configuration, in the sandbox only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_client.api.runtime import quote
from sandbox_client.api.sandboxes import WORK

from .receive_script import RECEIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .records import Sent

NONE = "-"  # an argument of a script that stands for nothing

# A repository that is a linked worktree of another one is not ours: the two would share its refs.
_PRELUDE = r"""
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES;
LC_ALL=C; GIT_TERMINAL_PROMPT=0; export LC_ALL GIT_TERMINAL_PROMPT; tmp=;
over() { [ -z "$tmp" ] || rm -rf "$tmp"; };
answer() { over; printf "\n{\"remote_sandbox\":\"%s\"%s}\n" "$1" "$2"; exit 0; };
fail() {
  answer refused ",\"reason\":\"$1\",\"detail\":\"$(
    printf "%s" "$2" | tr "\n" " " | tr -c "[:alnum:] ._/:,()-" "?" | cut -c 1-300)\"";
};
g() { git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c core.splitIndex=false
  -c core.untrackedCache=false -c core.safecrlf=false -c gc.auto=0 -c maintenance.auto=false
  -c submodule.recurse=false -c user.name=Sandbox -c user.email=sandbox@localhost "$@"; };
h() { { sha256sum || shasum -a 256; } 2>/dev/null <"$1" | cut -c 1-64; };
id() { g rev-parse -q --verify "$1^{commit}" 2>/dev/null; };
trust() {
  git rev-parse --git-dir >/dev/null 2>&1
  || git config --global --get-all safe.directory 2>/dev/null | grep -qxF "$(pwd -P)"
  || git config --global --add safe.directory "$(pwd -P)";
};
note() { g config --local --get "remote-sandbox.$1" 2>/dev/null; };
path() { g rev-parse --git-path "$1"; };
ours() { [ -e .git ] && [ -n "$(note version)" ]
  && [ "$(g rev-parse --git-dir)" = "$(g rev-parse --git-common-dir)" ]; };
begun() { [ "$(ls -A)" = .git ] && [ -d .git ] && ! ours
  && [ -z "$(id HEAD)$(g for-each-ref | head -n 1)" ]
  && [ -z "$(find .git/objects -type f 2>/dev/null | head -n 1)" ]; };
owned() { ours || fail occupied; [ "$(note repository)" = "$1" ] || fail other; };
command -v git >/dev/null 2>&1 || fail no-git;
v=$(git version | sed -n "s/^git version \([0-9]*\.[0-9]*\).*/\1/p");
[ "${v%%.*}" -gt 2 ] 2>/dev/null
|| { [ "${v%%.*}" = 2 ] && [ "${v#*.}" -ge 25 ]; } 2>/dev/null || fail old-git "$v";
dir=$1; shift;
full() { case $1 in /*) printf "%s" "$1";; "~/"*) printf "%s" "$HOME/${1#??}";;
  *) printf "%s" "$(pwd)/$1";; esac; };
"""
# `dirty` and `worktree` work with a copy of the index, which keeps its time: git reads a file again
# that is not older than the index. With `look_at_all`, they look at the files as well that git was
# told to overlook; a file of a sparse checkout that is not there stays as it was. The script of
# `check` is short enough to be one line of a terminal.
_DIRTY = r"""
copy() { index=$(path index) && tmp=${tmp:-$(mktemp -d)} && copied; };
copied() { rm -f "$tmp/index"; [ ! -f "$index" ] || cp -p "$index" "$tmp/index"; };
filter() { xargs -0 sh -c "for p do case \$p in $1;; esac; done" sh; };
differs() { [ -n "$(g status --porcelain --untracked-files=normal --ignore-submodules=all
  2>/dev/null | head -n 1)" ]; };
dirty() { differs || { told && copy && (
  GIT_INDEX_FILE=$tmp/index; export GIT_INDEX_FILE; if look_at_all; then differs; fi); }; };
told() { g ls-files -v | grep -q "^[a-zS] "; };
look_at_all() {
  told || return 0;
  g ls-files -z -v >"$tmp/tags" && filter "[sS]\ *) p=\${p#??};
    if [ -e \"\$p\" ] || [ -L \"\$p\" ]; then printf \"%s\\0\" \"\$p\"; fi;;
    [a-z]\ *) printf \"%s\\0\" \"\${p#??}\"" <"$tmp/tags" >"$tmp/told" || return;
  for each in assume-unchanged skip-worktree; do
    [ ! -s "$tmp/told" ] || g update-index --no-$each -z --stdin <"$tmp/told" || return;
  done;
};
"""
# `worktree` makes a tree of the files.
_WORKTREE = r"""
worktree() {
  copy || return;
  GIT_INDEX_FILE=$tmp/index; export GIT_INDEX_FILE; n=0;
  until err=$(stage 2>&1); do n=$((n+1)); [ $n -lt 3 ] || fail "$(why "$err")" "$err"; done;
  tree=$(g write-tree 2>"$tmp/err") || fail "$(why "$(cat "$tmp/err")")" "$(cat "$tmp/err")";
  unset GIT_INDEX_FILE;
};
why() {
  case $1 in *ermission*|*"No space"*|*ead-only*|*quota*|*"unable to create"*
  |*"ot a directory"*|*"to write"*|*"nput/output error"*) echo storage;; *) echo busy;; esac;
};
stage() {
  copied && look_at_all && g -c core.sparseCheckout=false add -u -- .
  && g ls-files -z --others --exclude-standard >"$tmp/others" || return;
  filter "*/) ;; *) printf \"%s\\0\" \"\$p\"" <"$tmp/others" >"$tmp/files" || return;
  g update-index --add -z --stdin <"$tmp/files";
};
modules() {
  g ls-files -z -s >"$tmp/staged"
  && filter "160000*) printf \"%s\\0\" \"\${p#* * [0-3]?}\"" <"$tmp/staged" >"$tmp/modules";
};
treeof() { g rev-parse -q --verify "$1^{tree}"; };
"""
_CHECK = r"""
state=absent; head=; sent=; work=false; owner=; program=true; modes=true;
[ "$1" = - ] || command -v "$1" >/dev/null 2>&1 || program=false;
if [ -d "$dir" ]; then
  cd "$dir" 2>/dev/null || fail directory "it cannot be entered";
  if [ -z "$(ls -A 2>/dev/null)" ]; then state=empty;
  else
    trust; state=occupied;
    if begun; then state=empty; elif ours; then
      state=ours; f=$(path remote-sandbox-mode);
      if [ -e "$f" ] && [ ! -x "$f" ]; then g config core.fileMode false; fi;
      modes=$(g config --bool core.fileMode || echo true);
      head=$(id HEAD); owner=$(note repository | tr -cd 0-9a-f);
      [ -n "$(note receiving)" ] || sent=$(id refs/remote-sandbox/sent);
      if dirty; then work=true; fi;
    fi;
  fi;
elif [ -e "$dir" ]; then state=occupied; fi;
answer checked ",\"git\":\"$v\",\"state\":\"$state\",\"head\":\"$head\",\"sent\":\"$sent\",
\"has_work\":$work,\"owner\":\"$owner\",\"program\":$program,\"keeps_modes\":$modes";
"""
# A commit that was exported before stays an ancestor, so that the branch here goes forward. A pull
# that is repeated gets the same commit and the same bundle if the work is the same; `of` says which
# commits a bundle has. Scratch directories of killed pulls and copies are removed after a day.
_EXPORT = r"""
out=$(full "$1"); commit=$2; previous=$3; haves=$4; message=$5; joining=$6; owner=$7; tip=;
cd "$dir" 2>/dev/null || fail gone;
trust; owned "$owner";
[ -z "$(note receiving)" ] || fail receiving;
[ "$(id refs/remote-sandbox/sent)" = "$commit" ] || fail another;
head=$(id HEAD); [ -n "$head" ] || fail no-commit;
worktree || fail temporary;
make() {
  old=$(id refs/remote-sandbox/work);
  if [ "$(g rev-list --parents -n 1 "$old" 2>/dev/null) $(treeof "$old")" = "$old $* $tree" ];
  then echo "$old"; return; fi;
  g commit-tree "$tree" -p "$1" ${2:+-p "$2"} -m "$message" 2>"$tmp/err";
};
left=false; [ "$tree" = "$(treeof "$head")" ] || left=true;
if [ "$previous" != - ] && [ -n "$(id "$previous")" ]; then
  if g merge-base --is-ancestor "$previous" "$head"; then previous=-;
  elif [ "$tree" = "$(treeof "$previous")" ] && g merge-base --is-ancestor "$head" "$previous";
  then tip=$previous; fi;
else previous=-; fi;
[ -n "$tip" ] || if [ "$previous" != - ]; then
  if g merge-base --is-ancestor "$head" "$previous"; then tip=$(make "$previous");
  else
    [ $left = true ] || message=$joining;
    tip=$(make "$head" "$previous");
  fi;
elif [ $left = true ]; then tip=$(make "$head"); else tip=$head; fi
|| fail commit "$(cat "$tmp/err")";
g update-ref refs/remote-sandbox/work "$tip" || fail update;
not=; new=true;
for each in $haves; do
  if [ -n "$(id "$each")" ]; then not="$not ^$each"; fi;
  if [ "$each" = "$tip" ]; then new=false; fi;
done;
size=0; sum=; count=$(g rev-list --count "$tip" "^$commit" 2>/dev/null || echo 0);
if [ $new = true ]; then
  mkdir -p "$(dirname "$out")"; touch "$(dirname "$out")";
  find "$HOME/" -maxdepth 1 -name ".remote-sandbox-????????" -mmin +1440 -exec rm -rf {} +
    2>/dev/null;
  if [ ! -f "$out" ] || [ "$(cat "$out.of" 2>/dev/null)" != "$tip$not" ]; then
    rm -f "$out" "$out.of";
    err=$({ g bundle create "$out.$$" refs/remote-sandbox/work $not && mv -f "$out.$$" "$out"; }
      2>&1) || fail bundle "$err";
    printf "%s" "$tip$not" >"$out.of";
  fi;
  size=$(wc -c <"$out" | tr -d " "); sum=$(h "$out");
fi;
branches=$(g for-each-ref --format="%(refname)" refs/heads
  | grep -vxFc -e "$(g symbolic-ref -q HEAD)");
stashes=$(g rev-list -g --count refs/stash 2>/dev/null || echo 0);
inner=$({ filter "*/) echo" <"$tmp/others"; modules
  && xargs -0 sh -c "for p do [ ! -e \"\$p/.git\" ] || echo; done" sh <"$tmp/modules";
} | wc -l | tr -d " ");
answer exported ",\"tip\":\"$tip\",\"head\":\"$head\",\"left_uncommitted\":$left,\"size\":$size,
\"sha256\":\"$sum\",\"commits\":$count,\"branches\":$branches,\"stashes\":$stashes,
\"inner\":$inner";
"""

UNCOMMITTED = "Uncommitted changes in the sandbox"
JOINING = "Join the changes that were pulled before the agent committed"


def check(directory: str, program: str = "") -> str:
    """Return the command that checks the git, the content of `directory`, and a program."""
    return _command(_CHECK, _from_work(directory), program or NONE)


def receive(
    sent: Sent,
    bundle: str,
    sha256: str,
    object_format: str,
    known: Sequence[str] = (),
    identity: str = "",
) -> str:
    """Return the command that unpacks a bundle and checks it out; it may be repeated.

    It leaves a repository as it is that has another `identity`, or commits or changes that are not
    in `known`: they have not come back yet.
    """
    return _command(
        _WORKTREE + RECEIVE,
        *(
            _from_work(sent.directory),
            _from_work(bundle),
            sha256,
            sent.commit,
            object_format,
            sent.branch,
        ),
        " ".join(sent.boundary) or NONE,
        " ".join(known) or NONE,
        identity,
    )


def export(sent: Sent, bundle: str, haves: Sequence[str], identity: str = "") -> str:
    """Return the command that writes the agent's work to `bundle`, without the history of `haves`.

    Uncommitted changes become one more commit, on top of the last one that was pulled. The agent's
    index, branches and files stay as they are.
    """
    return _command(
        _WORKTREE + _EXPORT,
        *(
            _from_work(sent.directory),
            _from_work(bundle),
            sent.commit,
            sent.pulled or NONE,
            " ".join(haves),
        ),
        *(UNCOMMITTED, JOINING, identity),
    )


def _from_work(path: str) -> str:
    """Return a path as seen from `WORK`, where commands start: not each fake has it at the root."""
    return f"./{path.removeprefix(WORK).lstrip('/')}" if f"{path}/".startswith(f"{WORK}/") else path


def _command(script: str, *words: str) -> str:
    one_line = " ".join((_PRELUDE + _DIRTY + script).split())
    return " ".join(["sh", "-c", quote(one_line), "sh", *map(quote, words)])
