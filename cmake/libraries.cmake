# Libraries, each from the distribution, found by pkg-config.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv>=1.44)
pkg_check_modules(LUA REQUIRED IMPORTED_TARGET lua5.4)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.80)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3>=3.37)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.13)
pkg_check_modules(CBOR REQUIRED IMPORTED_TARGET libcbor>=0.8)
pkg_check_modules(EDIT REQUIRED IMPORTED_TARGET libedit>=3.1)
pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)

# uthash is headers only.
find_path(UTHASH_INCLUDE uthash.h REQUIRED)

# llhttp: libllhttp-dev where there is one, else the C sources of Debian 12's package node-llhttp.
pkg_check_modules(LLHTTP IMPORTED_TARGET libllhttp)
if(LLHTTP_FOUND)
  add_library(ruc_llhttp ALIAS PkgConfig::LLHTTP)
else()
  find_path(LLHTTP_SOURCES llhttp.c PATHS /usr/share/llhttp NO_DEFAULT_PATH REQUIRED)
  find_path(LLHTTP_INCLUDE llhttp.h
    PATHS /usr/share/include/llhttp /usr/include/llhttp NO_DEFAULT_PATH REQUIRED)
  add_library(ruc_llhttp STATIC
    ${LLHTTP_SOURCES}/api.c ${LLHTTP_SOURCES}/http.c ${LLHTTP_SOURCES}/llhttp.c)
  target_include_directories(ruc_llhttp SYSTEM PUBLIC ${LLHTTP_INCLUDE})
  target_compile_options(ruc_llhttp PRIVATE -w)
endif()
