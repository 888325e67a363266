# SPDX-License-Identifier: Apache-2.0
# The kernels that a node may run, in virtual machines: one test for each (label kernels; root, qemu).
add_executable(verifier-budget kernels/verifier_budget.cpp)
target_link_libraries(verifier-budget PRIVATE probes)
target_link_options(verifier-budget PRIVATE -Wl,--wrap=bpf_object__load_skeleton)

foreach(kernel 5.10 6.1 6.12 7.2)
    add_test(NAME "kernel ${kernel}" COMMAND ${CMAKE_CURRENT_LIST_DIR}/check ${kernel} ${CMAKE_BINARY_DIR})
    set_tests_properties("kernel ${kernel}" PROPERTIES LABELS kernels TIMEOUT 1800 SKIP_RETURN_CODE 77)
endforeach()
