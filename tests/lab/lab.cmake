# SPDX-License-Identifier: Apache-2.0
# Programs that make traffic, and the lab's cases as tests (label lab: root, nginx, this kernel and one in a virtual
# machine, the built service).
add_executable(burst-client lab/burst_client.cpp)
target_link_libraries(burst-client PRIVATE core CLI11::CLI11 nlohmann_json::nlohmann_json)
add_executable(slow-server lab/slow_server.cpp)
target_link_libraries(slow-server PRIVATE core CLI11::CLI11)
add_executable(flood-sender lab/flood_sender.cpp)
target_link_libraries(flood-sender PRIVATE sys CLI11::CLI11)
add_executable(delay-line lab/delay_line.cpp)
target_link_libraries(delay-line PRIVATE sys CLI11::CLI11 nlohmann_json::nlohmann_json)

if(TARGET bpftune-k8s)
    script_tests(lab ${CMAKE_CURRENT_LIST_DIR}/lab_test.py LABELS lab TIMEOUT 600 RUN_SERIAL ON
        SKIP_RETURN_CODE 77) # no virtual machine can be had here, or no free CPU
endif()
