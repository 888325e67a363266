# SPDX-License-Identifier: Apache-2.0
# A real Prometheus, which scrapes the built service (label netns: root), and promtool.
set(prometheus_test ${CMAKE_CURRENT_LIST_DIR}/prometheus_test.py)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${prometheus_test})
file(STRINGS ${prometheus_test} functions REGEX "^def test_")
foreach(function ${functions})
    string(REGEX REPLACE "^def test_([a-z0-9_]+).*" "\\1" name ${function})
    string(REPLACE "_" " " sentence ${name})
    add_test(NAME "prometheus: ${sentence}" COMMAND ${prometheus_test} ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR} ${name})
    set_tests_properties("prometheus: ${sentence}" PROPERTIES LABELS netns TIMEOUT 300
        SKIP_RETURN_CODE 77) # it is not installed
endforeach()
