# SPDX-License-Identifier: Apache-2.0
add_executable(replay-bench bench/replay_bench.cpp)
target_link_libraries(replay-bench PRIVATE recording)
