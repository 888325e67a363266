# SPDX-License-Identifier: Apache-2.0
# A real Prometheus, which scrapes the built service (label netns: root), and promtool.
script_tests(prometheus ${CMAKE_CURRENT_LIST_DIR}/prometheus_test.py LABELS netns TIMEOUT 300
    SKIP_RETURN_CODE 77) # it is not installed
