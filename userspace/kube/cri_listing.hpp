// SPDX-License-Identifier: Apache-2.0
// The runtime's answers as values, within the bounds of kube/runtime.hpp. An answer is read item by item, so that what
// pods put into their annotations does not add up in memory.
#pragma once

#include <string>

#include <google/protobuf/io/zero_copy_stream.h>

#include "core/result.hpp"
#include "cri.pb.h"
#include "kube/runtime.hpp"

namespace bpftune::kube {

// The encoded answers of ListPodSandbox and of ListContainers. The error says that an answer is none.
Result<Listing> to_listing(const ::runtime::v1::VersionResponse& version,
                           google::protobuf::io::ZeroCopyInputStream& sandboxes,
                           google::protobuf::io::ZeroCopyInputStream& containers);

} // namespace bpftune::kube
