"""vLLM does for the client what every model server must: the same tests as for the fake and the embedded one."""

from tests.inference import test_contract as contract

globals().update({name: test for name, test in vars(contract).items() if name.startswith("test_")})
