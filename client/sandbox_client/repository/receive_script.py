"""The script that unpacks a bundle in a sandbox and checks it out, a part of `sandbox_scripts`.

After a script was killed, `receiving` and locks of git remain. After its client was killed, it
may still run. If a chmod has no effect, or only until the next command, the file system keeps no
modes: git then keeps those of the commits. Commits that were not pulled and that the checkout
would leave without a branch get one, `kept/ID`, or `kept-ID` beside a branch `kept`; the files
before a repeated push get a ref. Git would replace a file that it ignores, a link or a repository
without a word: `in_the_way` refuses that. The index `new` has the paths that the checkout adds;
`differ` are those not there yet with the same content. Before that, only a new repository is
changed. If the checkout fails, `as_it_was` undoes it, so that the work can still be pulled.
"""

from __future__ import annotations

RECEIVE = r"""
bundle=$(full "$1"); sha=$2; commit=$3; format=$4; branch=$5; shallow=$6; known=$7; owner=$8;
running() {
  p=$(cat "$pid" 2>/dev/null) && [ "$p" != $$ ] && kill -0 "$p" 2>/dev/null
  && grep -q remote-sandbox "/proc/$p/cmdline" 2>/dev/null;
};
is_known() {
  for each in $known; do
    [ "$each" != - ] && [ -n "$(id "$each")" ] || continue;
    if g merge-base --is-ancestor "$1" "$each" 2>/dev/null; then return 0; fi;
  done; return 1;
};
keep() {
  if [ -z "$1" ] || is_known "$1"; then return; fi;
  name=$(printf "%s" "$1" | cut -c 1-10);
  { [ "$branch" != kept ] && g update-ref "refs/heads/kept/$name" "$1" 2>/dev/null; }
  || g update-ref "refs/heads/kept-$name" "$1"
  || fail update "commits that were not pulled cannot be kept";
};
lacks_parent() {
  for each in $(g cat-file commit "$1" 2>/dev/null | sed -n "/^$/q; s/^parent //p"); do
    g cat-file -e "$each" 2>/dev/null || return 0;
  done; return 1;
};
in_the_way() {
  GIT_INDEX_FILE=$tmp/index; export GIT_INDEX_FILE;
  modules && g update-index -z --force-remove --stdin <"$tmp/modules" && g ls-files -z >"$tmp/old"
  && GIT_INDEX_FILE=$tmp/new && g read-tree "$commit"
  && g update-index -z --force-remove --stdin <"$tmp/old" || return;
  g update-index -q --refresh >/dev/null 2>&1;
  g diff-files -z --name-only --ignore-submodules=all >"$tmp/differ"
  && xargs -0 sh -c "$look" sh <"$tmp/differ" >"$tmp/there" && GIT_INDEX_FILE=$tmp/index || return;
  [ ! -s "$tmp/there" ] || xargs -0 -n 500 git --literal-pathspecs -c core.fsmonitor=false
    -c core.untrackedCache=false ls-files -z --others -- <"$tmp/there" >"$tmp/blocked" || return;
  unset GIT_INDEX_FILE; [ -f "$tmp/blocked" ] || return 0;
  tr "\n\0" "?\n" <"$tmp/blocked" | sort -u >"$tmp/names"; n=$(wc -l <"$tmp/names");
  [ "$n" -eq 0 ] || fail in-the-way "$(head -n 5 "$tmp/names" | sed "\$!s/\$/,/")$(
    [ "$n" -le 5 ] || echo " and $((n-5)) more")";
};
as_it_was() {
  [ -z "$new$before" ] && [ "$(id HEAD)" = "$head" ] || return;
  was=${changed:-$(treeof "$head")}; now=; g read-tree --reset -u "$was" 2>/dev/null;
  if [ -f "$tmp/saved" ] && (set -C; : >"$index.lock") 2>/dev/null; then
    cp -p "$tmp/saved" "$index.lock" && mv -f "$index.lock" "$index" || rm -f "$index.lock";
  fi;
  GIT_INDEX_FILE=$tmp/index; export GIT_INDEX_FILE;
  stage >/dev/null 2>&1 && now=$(g write-tree 2>/dev/null); unset GIT_INDEX_FILE;
  [ "$now" = "$was" ] && g update-ref refs/remote-sandbox/sent "$sent" || return;
  if [ -f "$tmp/ends" ]; then cp "$tmp/ends" "$ends"; else rm -f "$ends"; fi
  && g config --unset remote-sandbox.receiving;
};
look='
  last=.; for p do
    d=${p%/*}; [ "$d" != "$p" ] || d=;
    if [ "$d" != "$last" ]; then
      last=$d; bad=; q=; r=$d/;
      while [ -z "$bad" ] && [ "${r#/}" ]; do
        q=$q${r%%/*}; r=${r#*/};
        if [ -L "$q" ]; then bad=1; elif [ -d "$q" ]; then [ ! -e "$q/.git" ] || bad=1;
        elif [ -e "$q" ]; then bad=1; fi;
        [ -z "$bad" ] || printf "%s\0" "$q"; q=$q/;
      done;
    fi;
    [ -n "$bad" ] || { [ ! -e "$p" ] && [ ! -L "$p" ]; } || printf "%s\0" "$p";
  done';
arrived() {
  answer received ",\"head\":\"$1\",\"keeps_modes\":$(g config --bool core.fileMode)";
};
if [ ! -f "$bundle" ]; then
  cd "$dir" 2>/dev/null && [ -e .git ] || fail no-bundle; trust; owned "$owner";
  [ -z "$(note receiving)" ] && [ "$(id refs/remote-sandbox/sent)" = "$commit" ] || fail no-bundle;
  arrived "$commit";
fi;
[ "$(h "$bundle")" = "$sha" ] || fail differs; new=; index=;
mkdir -p "$dir" 2>/dev/null; cd "$dir" 2>/dev/null || fail directory "it cannot be made";
if begun; then rm -rf .git; fi;
if [ -z "$(ls -A)" ]; then
  if [ "$format" = sha1 ]; then err=$(g init -q --template= . 2>&1);
  else err=$(g init -q --template= --object-format="$format" . 2>&1); fi
  || { rm -rf .git; fail init "$err"; };
  trust; new=1; f=.git/remote-sandbox-mode; : >"$f"; m=true;
  chmod 700 "$f" 2>/dev/null; [ -x "$f" ] || m=false;
  chmod 600 "$f" 2>/dev/null; [ ! -x "$f" ] || m=false;
  chmod 700 "$f" 2>/dev/null;
  g config core.fileMode $m && g config core.autocrlf false && g config gc.auto 0
  && g symbolic-ref HEAD "refs/heads/$branch" && g config remote-sandbox.repository "$owner"
  && g config remote-sandbox.receiving "$commit" && g config remote-sandbox.version 1
  || fail init "git config failed";
  git config user.email >/dev/null 2>&1 || {
    g config user.name "Agent in the sandbox"; g config user.email agent@localhost; };
else trust; owned "$owner"; fi;
pid=$(path remote-sandbox-pid); ends=$(path shallow);
n=0; while running && [ $n -lt 300 ]; do sleep 1; n=$((n+1)); done;
if running; then fail unfinished; fi;
echo $$ >"$pid"; over() { rm -f "$pid"; [ -z "$tmp" ] || rm -rf "$tmp"; };
err=$(g bundle unbundle "$bundle" 2>&1 >/dev/null) || fail unbundle "$err";
if [ -z "$new" ]; then
  head=$(id HEAD); sent=$(id refs/remote-sandbox/sent); known="$known $sent";
  before=$(note receiving); changed=;
  if [ -n "$before" ]; then
    find "$(g rev-parse --git-dir)" -name "*.lock" -type f -exec rm -f {} +;
    known="$known $before"; keep "$head";
  else is_known "${head:-none}" || fail has-commits "$head"; fi;
  if ! dirty; then copy || fail temporary;
  else
    worktree || fail temporary;
    if [ -n "$before" ]; then
      kept=$(id refs/remote-sandbox/kept);
      kept=$(g commit-tree "$tree" ${head:+-p "$head"} ${kept:+-p "$kept"}
        -m "Files before a repeated push") && g update-ref refs/remote-sandbox/kept "$kept"
      || fail update "the files there cannot be kept";
    else
      for each in $known; do
        if [ "$(treeof "$each")" = "$tree" ]; then changed=$tree; fi;
      done;
      [ -n "$changed" ] || fail has-changes;
    fi;
  fi;
  in_the_way 2>"$tmp/err" || fail storage "$(cat "$tmp/err")";
  { [ ! -f "$index" ] || cp -p "$index" "$tmp/saved"; }
  && { [ ! -f "$ends" ] || cp "$ends" "$tmp/ends"; } || fail temporary;
  [ -z "$changed" ] || g read-tree "$changed" || fail storage "the index cannot be written";
  keep "$(id "refs/heads/$branch")";
fi;
g config remote-sandbox.receiving "$commit" || fail directory "it cannot be written";
[ "$shallow" != - ] || shallow=;
for old in $(cat "$ends" 2>/dev/null); do
  if lacks_parent "$old"; then shallow="$shallow $old"; fi;
done;
if [ -z "$shallow" ]; then rm -f "$ends";
else printf "%s\n" $shallow | sort -u >"$ends" || fail directory "it cannot be written"; fi;
err=$(g update-ref refs/remote-sandbox/sent "$commit" 2>&1) || fail update "$err";
err=$(g checkout -q -f -B "$branch" "$commit" 2>&1)
|| { as_it_was && fail checkout "$err"; fail incomplete "$err"; };
g update-ref -d refs/remote-sandbox/work 2>/dev/null;
g config --unset remote-sandbox.receiving;
rm -f "$bundle";
arrived "$(id HEAD)";
"""
