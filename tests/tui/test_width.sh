#!/bin/sh
# test_width.sh PROBE tmux|xterm: text is drawn as wide as it is laid out (width_probe.c), in a real terminal.
probe=$1
terminal=$2
folder=$(mktemp -d) || exit 1
trap 'rm -r "$folder"' EXIT
set -- "$folder/report" models/teach/tokenizer.json tests/fixtures/tokenizers/*/tokenizer.json
[ -e ../shared/data/tokenizers/gpt2/tokenizer.json ] && set -- "$@" ../shared/data/tokenizers/gpt2/tokenizer.json
for program in "$terminal" $([ "$terminal" = tmux ] || echo Xvfb); do
    command -v "$program" >/dev/null || { echo "SKIP: no $program"; exit 77; }
done
export LC_ALL=C.UTF-8

if [ "$terminal" = tmux ]; then
    unset TMUX
    tmux -S "$folder/socket" -f /dev/null new-session -d -x 120 -y 40 "$probe $*; tmux -S $folder/socket wait-for -S finished" &&
        tmux -S "$folder/socket" wait-for finished 2>/dev/null
else
    mkfifo "$folder/display"
    Xvfb -displayfd 3 -screen 0 1024x768x24 3>"$folder/display" 2>/dev/null &
    server=$!
    trap 'kill $server; rm -r "$folder"' EXIT
    read -r display <"$folder/display"
    DISPLAY=:$display xterm -u8 -geometry 120x40 -e "$probe" "$@"
fi
tail -n 20 "$folder/report"
tail -n 1 "$folder/report" | grep -Eq '^[0-9]{6,} texts, 0 differ$'
