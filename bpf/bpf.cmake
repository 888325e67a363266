# SPDX-License-Identifier: Apache-2.0
# Compiles every bpf/*.bpf.c and embeds it as a skeleton: <build>/bpf/<name>.skel.h, included as "<name>.skel.h",
# with dots in the name turned into underscores. Needs no kernel headers and no BTF of any kernel.

find_program(BPF_CLANG NAMES clang-19 REQUIRED)
find_program(BPFTOOL NAMES bpftool HINTS /usr/sbin /sbin REQUIRED)

# The names of the kernel's own arch/ folder, for the registers of pt_regs in <bpf/bpf_tracing.h>.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    set(BPF_ARCH arm64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(BPF_ARCH x86)
else()
    message(FATAL_ERROR "no BPF register names for ${CMAKE_SYSTEM_PROCESSOR}")
endif()

pkg_get_variable(LIBBPF_INCLUDE libbpf includedir)
# BPF_PROG() names every argument of a tracepoint, used or not.
set(BPF_FLAGS -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -target bpf -mcpu=v3 -D__TARGET_ARCH_${BPF_ARCH} -nostdinc
    -I${CMAKE_SOURCE_DIR} -idirafter ${LIBBPF_INCLUDE})

file(GLOB BPF_SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bpf/*.bpf.c)
file(GLOB BPF_HEADERS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bpf/abi/*.h ${CMAKE_SOURCE_DIR}/bpf/lib/*.h)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/bpf)

foreach(source ${BPF_SOURCES})
    get_filename_component(file ${source} NAME)
    string(REGEX REPLACE "\\.bpf\\.c$" "" stem ${file})
    string(REPLACE "." "_" name ${stem})
    set(object ${CMAKE_BINARY_DIR}/bpf/${name}.bpf.o)
    set(skeleton ${CMAKE_BINARY_DIR}/bpf/${name}.skel.h)
    add_custom_command(OUTPUT ${object}
        COMMAND ${BPF_CLANG} ${BPF_FLAGS} -c ${source} -o ${object}
        DEPENDS ${source} ${BPF_HEADERS} COMMENT "BPF ${file}" VERBATIM)
    # "gen object" also strips what only a debugger reads.
    add_custom_command(OUTPUT ${skeleton}
        COMMAND ${BPFTOOL} gen object ${object}.linked ${object}
        COMMAND sh -c "'${BPFTOOL}' gen skeleton '${object}.linked' name ${name} > '${skeleton}'"
        DEPENDS ${object} COMMENT "BPF skeleton ${name}.skel.h" VERBATIM)
    list(APPEND BPF_SKELETONS ${skeleton})
endforeach()

add_custom_target(bpf_skeleton_files DEPENDS ${BPF_SKELETONS})
add_library(bpf_skeletons INTERFACE)
add_dependencies(bpf_skeletons bpf_skeleton_files)
target_include_directories(bpf_skeletons SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/bpf)
