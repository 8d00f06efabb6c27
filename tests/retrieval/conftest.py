import pytest

from retrieval import made


@pytest.fixture(params=made.METRICS)
def metric(request):
    return request.param
