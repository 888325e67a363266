# SPDX-License-Identifier: Apache-2.0
add_executable(bench-load bench/load.cpp)
target_link_libraries(bench-load PRIVATE probes)
target_include_directories(bench-load PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
