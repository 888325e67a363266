# SPDX-License-Identifier: Apache-2.0
# A program for each file here, called fuzz-NAME: only in the sanitizers' build, with libFuzzer, which is clang's. Else
# they are not built, and known to scripts/lint.
#   fuzz_target(NAME ROOM...)
function(fuzz_target name)
    if(SANITIZE)
        add_executable(fuzz-${name} fuzz/${name}.cpp fuzz/entry.cpp)
        target_link_options(fuzz-${name} PRIVATE -fsanitize=fuzzer)
        target_compile_options(fuzz-${name} PRIVATE -fsanitize=fuzzer-no-link)
        add_dependencies(fuzz-targets fuzz-${name})
    else()
        add_library(fuzz-${name} OBJECT EXCLUDE_FROM_ALL fuzz/${name}.cpp fuzz/entry.cpp)
    endif()
    target_link_libraries(fuzz-${name} PRIVATE ${ARGN})
    target_include_directories(fuzz-${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
endfunction()

add_custom_target(fuzz-targets)
fuzz_target(api_request service)
fuzz_target(census signals recording)
fuzz_target(event signals recording)
fuzz_target(http_request service)
fuzz_target(journal actuators views)
fuzz_target(policy policy)
fuzz_target(recording recording)
fuzz_target(recording_file recording)
fuzz_target(writer_request actuators)

# What is fuzzed says which of its branches were taken. The controller is left out: its properties are tested over
# 10,000 traces, which would take twice as long.
if(SANITIZE)
    foreach(room core sys tunables policy probes signals recording actuators views service)
        target_compile_options(${room} PRIVATE -fsanitize=fuzzer-no-link)
    endforeach()
endif()
