#!/bin/sh
# shots.sh BORESCOPE FOLDER: pictures of the explorer, to look at: in xterm with sixel, half blocks, a white background,
# 80x24, 120x40, 200x60 and cells of double size; in kitty, where it is installed, by its own protocol; every view, a
# short prompt and a long one.
# Needs Xvfb, xterm, xdotool and ImageMagick's import and convert (Debian: xvfb xterm xdotool imagemagick; kitty libgl1-mesa-dri).
set -u
borescope=$1
folder=$2
for program in Xvfb xterm xdotool import; do
    command -v "$program" >/dev/null || { echo "shots.sh: no $program"; exit 77; }
done
mkdir -p "$folder"
short="When Mary and John went to the store, John gave a bag to"
long="$short. $short. $short. $short. $short. $short. $short"
work=$(mktemp -d) || exit 1
mkfifo "$work/display"
Xvfb -displayfd 3 -screen 0 3000x2000x24 -nolisten tcp 3>"$work/display" 2>/dev/null &
server=$!
trap 'kill $server; rm -r "$work"' EXIT
read -r number <"$work/display"
export DISPLAY=":$number" LC_ALL=C.UTF-8 XDG_STATE_HOME="$work" XDG_CONFIG_HOME="$work"

# shoot NAME GEOMETRY FONT_PX BACKGROUND TERMINAL PROMPT KEY...: a picture after every key that begins with "@"
shoot() {
    name=$1 geometry=$2 px=$3 background=$4 terminal=$5 prompt=$6
    shift 6
    [ "$background" = white ] && ink=black || ink=gray90
    xterm -u8 ${terminal:+-ti "$terminal"} -tn xterm-256color -geometry "$geometry+0+0" -fa "DejaVu Sans Mono:pixelsize=$px" \
        -bg "$background" -fg "$ink" -xrm 'XTerm*maxGraphicSize: 4096x4096' -xrm 'XTerm*numColorRegisters: 256' \
        -xrm 'XTerm*cursorBlink: false' -e env COLORTERM=truecolor "$borescope" teach --pair " Mary/ John" "$prompt" &
    terminal_pid=$!
    picture xterm "$@"
}

# shoot_kitty NAME COLUMNS LINES FONT_PT PROMPT KEY...: the same in kitty, which draws with OpenGL: in software here
shoot_kitty() {
    name=$1 columns=$2 lines=$3 points=$4 prompt=$5
    shift 5
    LIBGL_ALWAYS_SOFTWARE=1 kitty -c NONE -o font_family="DejaVu Sans Mono" -o font_size="$points" \
        -o remember_window_size=no -o initial_window_width="${columns}c" -o initial_window_height="${lines}c" \
        -o confirm_os_window_close=0 -o update_check_interval=0 -o cursor_blink_interval=0 \
        "$borescope" teach --pair " Mary/ John" "$prompt" &
    terminal_pid=$!
    picture kitty "$@"
}

# still FILE: the window, when it is the same twice in a row: pictures arrive late on a slow machine
still() {
    import -window "$window" "$work/now.ppm"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        mv "$work/now.ppm" "$work/before.ppm"
        sleep 0.5
        import -window "$window" "$work/now.ppm"
        cmp -s "$work/before.ppm" "$work/now.ppm" && break
    done
    convert "$work/now.ppm" "$1"
}

# picture CLASS KEY...: of the terminal that was started last, then end it
picture() {
    class=$1
    shift
    window=
    while [ -z "$window" ] && kill -0 $terminal_pid 2>/dev/null; do
        sleep 0.1
        window=$(xdotool search --onlyvisible --class "$class" 2>/dev/null | tail -1)
    done
    sleep 1.5
    xdotool windowfocus "$window" 2>/dev/null
    for key; do
        case $key in
        @*) sleep 1; still "$folder/$name-${key#@}.png" ;;
        *) xdotool key --window "$window" -- "$key"; sleep 0.15 ;;
        esac
    done
    kill $terminal_pid
    wait $terminal_pid 2>/dev/null
}

all="@grid 2 @attention Return @map z @whole z @text 3 @lens 4 @hooks 5 @tensor bracketright @sorted 5 Tab question @help Escape 7 @heads w @wall w C @check greater space @generate"
for size in 80x24 120x40 200x60; do
    # shellcheck disable=SC2086
    shoot "sixel-$size" "$size" 12 black vt340 "$long" $all
done
shoot sixel-double-80x24 80x24 30 black vt340 "$long" @grid 2 L L @attention Return @map z @whole 7 w @wall
shoot sixel-white-120x40 120x40 12 white vt340 "$short" x @grid 2 @attention 7 @heads b @difference
shoot blocks-120x40 120x40 12 black "" "$long" @grid 2 @attention Return z @whole 7 w @wall
if command -v kitty >/dev/null; then
    shoot_kitty kitty-120x40 120 40 10 "$long" @grid 2 @attention Return @map z @whole question @help Escape @again 7 w @wall
    shoot_kitty kitty-double-80x24 80 24 24 "$long" 2 L L @attention Return z @whole 7 w @wall
fi
ls "$folder"
