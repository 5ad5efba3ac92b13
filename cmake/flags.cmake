# Warnings and hardening, for gcc 12 and newer and clang 14 and newer (OpenSSF compiler guide).
include(CheckCCompilerFlag)
include(CheckPIESupported)
check_pie_supported()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

add_library(ruc_flags INTERFACE)
target_include_directories(ruc_flags INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_BINARY_DIR}/gen)
target_compile_definitions(ruc_flags INTERFACE _GNU_SOURCE RUCAT_VERSION="${PROJECT_VERSION}")
target_compile_options(ruc_flags INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wconversion
  -Wno-sign-conversion -Wformat=2 -Wimplicit-fallthrough -Wpointer-arith -Wundef
  -fno-common -fno-strict-aliasing)
if(RUCAT_TESTING)
  target_compile_definitions(ruc_flags INTERFACE RUC_TESTING)
endif()
if(RUCAT_WERROR)
  target_compile_options(ruc_flags INTERFACE -Werror)
endif()

foreach(flag -fstack-clash-protection -fstack-protector-strong -fcf-protection=full
        -ftrivial-auto-var-init=zero -Wtrampolines -Wbidi-chars=any
        -fno-delete-null-pointer-checks -fno-strict-overflow)
  string(MAKE_C_IDENTIFIER "HAVE${flag}" have)
  check_c_compiler_flag(${flag} ${have})
  if(${have})
    target_compile_options(ruc_flags INTERFACE ${flag})
  endif()
endforeach()
target_link_options(ruc_flags INTERFACE
  -Wl,-z,noexecstack -Wl,-z,relro -Wl,-z,now -Wl,--as-needed)

if(RUCAT_SANITIZE)
  target_compile_options(ruc_flags INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(ruc_flags INTERFACE -fsanitize=address,undefined)
elseif(CMAKE_BUILD_TYPE STREQUAL "Debug")
  # _FORTIFY_SOURCE needs an optimised build.
else()
  target_compile_options(ruc_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
