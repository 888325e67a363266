# SPDX-License-Identifier: Apache-2.0
# The container image, with the rights that the rendered manifests give it (label netns: root, this kernel, runc), beside
# pods of a real runtime as well (label cri), and the commands of docs/kubernetes.md. What must hold of the manifests
# themselves is a part of the tier style.
foreach(test image container docs)
    add_test(NAME "deploy: ${test}"
        COMMAND ${CMAKE_CURRENT_LIST_DIR}/${test}_test.py ${CMAKE_BINARY_DIR})
    set_tests_properties("deploy: ${test}" PROPERTIES LABELS netns TIMEOUT ${time_limit})
endforeach()
add_test(NAME "deploy: pods" COMMAND ${CMAKE_CURRENT_LIST_DIR}/pods_test.py ${CMAKE_BINARY_DIR})
set_tests_properties("deploy: pods" PROPERTIES LABELS cri TIMEOUT ${time_limit})
