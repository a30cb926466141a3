#include "error.h"

#include <iostream>
#include <new>

namespace rnn {

int guarded(const std::string& name, const std::function<int()>& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    std::cerr << name << ": There is not enough memory.\n";
  } catch (const std::exception& error) {
    std::cerr << name << ": " << first_line(error.what()) << "\n";
  }
  return 2;
}

}  // namespace rnn
