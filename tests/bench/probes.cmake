# SPDX-License-Identifier: Apache-2.0
# What the BPF programs cost per connection: root, this kernel.
add_executable(probes-bench bench/probes_bench.cpp)
target_link_libraries(probes-bench PRIVATE probes)
target_include_directories(probes-bench PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
