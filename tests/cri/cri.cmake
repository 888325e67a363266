# SPDX-License-Identifier: Apache-2.0
# Pods under a real container runtime (label cri: root, Debian's containerd).
add_protocol(pods_protocol ${CMAKE_CURRENT_LIST_DIR}/pods.proto)
add_library(pods STATIC cri/pods.cpp)
target_include_directories(pods PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(pods PUBLIC core PRIVATE pods_protocol nlohmann_json::nlohmann_json)
add_executable(cri-pods cri/cri_pods.cpp)
target_link_libraries(cri-pods PRIVATE pods kube CLI11::CLI11 nlohmann_json::nlohmann_json)

foreach(room kube service)
    room_tests(cri ${room})
    add_dependencies(cri-${room}-tests cri-pods)
    target_link_libraries(cri-${room}-tests PRIVATE pods)
endforeach()
add_dependencies(cri-service-tests bpftune-k8s slow-server burst-client)
