# cmake -DOUT=FILE -DTABLE=NAME -DNAMES=a,b -DDIR=keymaps -DENDING=.keys -P embed.cmake: text files as a C table (embed.h).
set(body "/* made from ${DIR} by embed.cmake */\n#include \"embed.h\"\n")
set(rows "")
string(REPLACE "," ";" NAMES "${NAMES}")
foreach(name ${NAMES})
  file(READ ${DIR}/${name}${ENDING} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND body "static const unsigned char text_${name}[] = {${bytes}0};\n")
  string(APPEND rows "    {\"${name}\", (const char *)text_${name}, sizeof text_${name} - 1},\n")
endforeach()
string(APPEND body "extern const struct embedded ${TABLE}[];\n"
  "const struct embedded ${TABLE}[] = {\n${rows}    {NULL, NULL, 0}};\n")
file(WRITE ${OUT} "${body}")
