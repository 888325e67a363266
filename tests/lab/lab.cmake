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
    set(lab_test ${CMAKE_CURRENT_LIST_DIR}/lab_test.py)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${lab_test})
    file(STRINGS ${lab_test} functions REGEX "^def test_")
    foreach(function ${functions})
        string(REGEX REPLACE "^def test_([a-z0-9_]+).*" "\\1" name ${function})
        string(REPLACE "_" " " sentence ${name})
        add_test(NAME "lab: ${sentence}"
            COMMAND ${lab_test} ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR} ${name})
        set_tests_properties("lab: ${sentence}" PROPERTIES LABELS lab TIMEOUT 600 RUN_SERIAL ON
            SKIP_RETURN_CODE 77) # no virtual machine can be had here, or no free CPU
    endforeach()
endif()
