# cmake -DOUT=FILE -DNAMES=a,b -DDIR=keymaps -P embed.cmake: key map files as a C table.
set(body "/* made from keymaps/ by embed.cmake */\n#include <stddef.h>\n")
set(rows "")
string(REPLACE "," ";" NAMES "${NAMES}")
foreach(name ${NAMES})
  file(READ ${DIR}/${name}.keys hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND body "static const unsigned char text_${name}[] = {${bytes}0};\n")
  string(APPEND rows "    {\"${name}\", (const char *)text_${name}, sizeof text_${name} - 1},\n")
endforeach()
string(APPEND body "struct keymap_text { const char *name, *text; size_t len; };\n"
  "extern const struct keymap_text keymap_texts[];\nconst struct keymap_text keymap_texts[] = {\n${rows}    {NULL, NULL, 0}};\n")
file(WRITE ${OUT} "${body}")
