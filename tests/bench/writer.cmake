# SPDX-License-Identifier: Apache-2.0
add_executable(writer-bench bench/writer_bench.cpp)
target_link_libraries(writer-bench PRIVATE actuators)
target_include_directories(writer-bench PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
